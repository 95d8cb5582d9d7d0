import pandas as pd
import pytest
from results_folder import SAMPLES, sweep

from reports.records import load
from reports.statistics import interval
from reports.tables import TABLES, leaderboard, write_tables

SCORES = "task,dataset,variant,metric,direction,mean,ci_low,ci_high,seeds,data,profile"


def written(files, root, **options):
    """The tables' folder as {name: bytes}."""
    write_tables(load(files.write(root, **options)), root / "report" / "tables")
    return {path.name: path.read_bytes() for path in (root / "report" / "tables").iterdir()}


def read(tables, name):
    return pd.read_csv(pd.io.common.BytesIO(tables[f"{name}.csv"]), keep_default_na=False)


def put(files, study, values):
    """Sets the test accuracies of a cell's finals."""
    for number, value in enumerate(values):
        files.run(study, "final", number)["metrics"]["test/accuracy"] = value


def test_leaderboard_has_a_row_a_cell_best_first(tmp_path):
    files = sweep(variants=("cnn", "linear", "vit"), datasets=("usps", "mnist"))
    put(files, "cnn-mnist-quick", [0.9, 0.9, 0.9])
    put(files, "linear-mnist-quick", [0.91, 0.92, 0.93])
    put(files, "vit-mnist-quick", [0.9, 0.9, 0.9])
    table = leaderboard(load(files.write(tmp_path)))
    assert ",".join(table) == SCORES
    assert list(table["dataset"]) == ["mnist"] * 3 + ["usps"] * 3
    assert list(table["variant"][:3]) == ["linear", "cnn", "vit"]  # the tie by name
    first = table.iloc[0]
    expected = interval([0.91, 0.92, 0.93])
    assert tuple(first[["mean", "ci_low", "ci_high", "seeds"]]) == expected
    assert (first["direction"], first["data"], first["profile"]) == (
        "maximize",
        "official",
        "quick",
    )


def test_leaderboard_of_errors_has_the_lowest_first(tmp_path):
    files = sweep(variants=("convlstm", "copy-last"), datasets=("mnist",), task="prediction")
    table = leaderboard(load(files.write(tmp_path)))
    assert list(table["direction"]) == ["minimize"] * 2
    assert table["mean"].is_monotonic_increasing


def test_cells_without_finals_keep_their_row_last(tmp_path):
    files = sweep(variants=("cnn", "linear", "vit"), datasets=("mnist",))
    files.cells["cnn-mnist-quick"]["finals"] = []
    files.run("vit-mnist-quick", "final", 0)["status"] = "failed"
    files.cells["vit-mnist-quick"]["finals"] = files.cells["vit-mnist-quick"]["finals"][:2]
    lines = written(files, tmp_path)["leaderboard.csv"].decode().splitlines()
    assert lines[3] == "classification,mnist,cnn,accuracy,maximize,,,,0,official,quick"
    by_variant = {line.split(",")[2]: line.split(",") for line in lines[1:]}
    assert by_variant["vit"][6:9] == ["", "", "1"]  # one completed final: a mean, no interval
    assert by_variant["vit"][5]


def test_mixed_data_states_are_said(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.run("cnn-mnist-quick", "final", 1)["provenance"]["data"]["state"] = "stand-in"
    assert leaderboard(load(files.write(tmp_path)))["data"][0] == "official + stand-in"


def test_metrics_has_all_test_metrics_with_their_directions(tmp_path):
    table = read(written(sweep(variants=("cnn",), datasets=("mnist",)), tmp_path), "metrics")
    assert ",".join(table) == SCORES
    assert list(zip(table["metric"], table["direction"], table["mean"], strict=True))[1:] == [
        ("loss", "minimize", 0.25),
        ("oddity", "", 7.0),
    ]


def test_runs_lists_every_trial_and_final(tmp_path):
    files = sweep()
    table = read(written(files, tmp_path), "runs")
    assert list(table) == [
        "run_id",
        "role",
        "variant",
        "dataset",
        "seed",
        "status",
        "reason",
        "digest",
    ]
    assert set(table["run_id"]) == set(files.records)
    assert list(table["role"][:7]) == ["trial"] * 4 + ["final"] * 3
    assert table["dataset"].is_monotonic_increasing
    assert str(2**64 - 1) in set(table["seed"].astype(str))


def test_best_params_are_those_of_the_best_trial(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    cell = files.cells["cnn-mnist-quick"]
    cell["best"] = cell["trials"][1]
    files.run("cnn-mnist-quick", "trial", 1)["spec"]["hyperparameters"]["name"] = "=cmd()"
    assert written(files, tmp_path)["best_params.csv"].decode() == (
        "study,variant,dataset,profile,parameter,value\n"
        "cnn-mnist-quick,cnn,mnist,quick,bias,true\n"
        "cnn-mnist-quick,cnn,mnist,quick,learning_rate,0.0005\n"
        "cnn-mnist-quick,cnn,mnist,quick,name,'=cmd()\n"
        "cnn-mnist-quick,cnn,mnist,quick,routing,3\n"
    )


def test_failures_lists_failed_runs_then_cells_without_a_final(tmp_path):
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    failed = files.run("linear-mnist-quick", "trial", 2)
    failed |= {"status": "failed", "reason": "=HYPERLINK(1) | <b>\nTraceback: /secret"}
    files.run("linear-mnist-quick", "trial", 1)["status"] = "pruned"
    files.cells["cnn-mnist-quick"] |= {"finals": [], "reason": "no trial completed: NaN"}
    tables = written(files, tmp_path)
    assert tables["failures.csv"].decode() == (
        "run_id,role,variant,dataset,status,reason\n"
        f"{failed['run_id']},trial,linear,mnist,failed,'=HYPERLINK(1) | <b>\n"
        ",cell,cnn,mnist,no final,no trial completed: NaN\n"
    )
    assert b"=HYPERLINK(1) \\| &lt;b>" in tables["failures.md"]
    assert b"secret" not in b"".join(tables.values())


def test_a_cell_with_a_final_is_no_failure(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.cells["cnn-mnist-quick"]["reason"] = "of an earlier try"
    assert len(read(written(files, tmp_path), "failures")) == 0


def test_data_lists_each_state_once(tmp_path):
    files = sweep(variants=("cnn",), datasets=("usps", "mnist"))
    files.run("cnn-usps-quick", "trial", 0)["provenance"]["data"] = None
    assert list(read(written(files, tmp_path), "data").itertuples(index=False, name=None)) == [
        ("mnist", "official", SAMPLES, "ab" * 32),
        ("usps", "official", SAMPLES, "ab" * 32),
    ]


def test_costs_counts_runs_and_averages_finals(tmp_path):
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    files.run("cnn-mnist-quick", "trial", 0)["status"] = "pruned"
    files.run("cnn-mnist-quick", "trial", 1)["status"] = "failed"
    files.run("cnn-mnist-quick", "final", 2)["costs"]["peak_memory_bytes"] = 200_000_000
    files.cells["cnn-mnist-quick"]["epochs"] = {"had": 1, "saved": 2}
    files.cells["linear-mnist-quick"]["finals"] = []
    lines = written(files, tmp_path)["costs.csv"].decode().splitlines()
    cell = "classification,mnist,cnn,quick,4,1,2,1,3"
    assert lines[1] == f"{cell},8215568,123456789,5.0,2.0,1000.0,200000000,40.0"
    assert lines[2] == "classification,mnist,linear,quick,4,0,0,0,0,,,,,,,25.0"


def test_equal_sweeps_give_equal_bytes_but_for_costs(tmp_path):
    first = written(sweep(), tmp_path / "a", shuffle=1)
    second = written(sweep(clock=1.7), tmp_path / "another place", shuffle=2)
    assert set(first) == {f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "md")}
    assert {name for name in first if first[name] != second[name]} == {"costs.csv", "costs.md"}
    assert not any(b"\r" in content or b"place" in content for content in second.values())


def test_runs_that_no_cell_names_change_no_table(tmp_path):
    files = sweep(variants=("cnn",))
    alone = written(files, tmp_path / "a")
    by_hand = sweep(variants=("vit",), datasets=("cifar10",))
    for record in by_hand.records.values():
        record["status"] = "failed"
    files.records |= by_hand.records
    files.curves |= by_hand.curves
    assert written(files, tmp_path / "b") == alone


@pytest.mark.parametrize("name", TABLES)
def test_markdown_has_the_rows_of_csv(tmp_path, name):
    tables = written(sweep(variants=("cnn", "linear"), datasets=("mnist",)), tmp_path)
    lines = tables[f"{name}.md"].decode().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    columns = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert columns == list(read(tables, name))
    assert len(rows) - 2 == len(read(tables, name))


def test_the_leaderboard_explains_itself(tmp_path):
    note = written(sweep(), tmp_path)["leaderboard.md"].decode().partition("\n\n")[2]
    for word in (
        "Student-t",
        "seeds",
        "official",
        "unofficial",
        "partial",
        "generated",
        "stand-in",
    ):
        assert word in note
