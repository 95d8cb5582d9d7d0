from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.build import build
from reports.flags import flags
from reports.results import read_results
from reports.statistics.intervals import SeedScores, estimate
from reports.table_files import FORMATS, SUFFIXES, write_tables
from reports.tables import DATA_TABLES, TABLES, build_tables, leaderboard
from reports.tables.cell_costs import COSTS
from reports.tables.dataset_ranks import ranks
from tests.reports.results_folder import SAMPLES, Files, fingerprint, put, sweep, variants

SCORES = (
    "task,dataset,variant,metric,direction,mean,ci_low,ci_high,seeds,ci_of,by_seed,data,profile"
)
LEADERBOARD = (
    f"{SCORES},kind,mark,floor,floor_name,untrained,behind,behind_at_most,published,gap,"
    "trials,test_samples,progress,notes"
)


def written(
    files: Files, root: Path, formats: Sequence[str] = ("csv", "markdown"), **options: Any
) -> dict[str, bytes]:
    """Writes the tables, and returns the bytes of each file by name."""
    results = read_results(files.write(root, **options))
    write_tables(build_tables(results), root / "report" / "tables", formats, flags(results))
    return {path.name: path.read_bytes() for path in (root / "report" / "tables").iterdir()}


def read(tables: dict[str, bytes], name: str) -> pd.DataFrame:
    return pd.read_csv(BytesIO(tables[f"{name}.csv"]), keep_default_na=False)


def test_leaderboard_has_a_row_a_cell_best_first(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear", "vit"), datasets=("usps", "mnist"))
    put(files, "cnn-mnist-quick", [0.9, 0.9, 0.9])
    put(files, "linear-mnist-quick", [0.91, 0.92, 0.93])
    put(files, "vit-mnist-quick", [0.9, 0.9, 0.9])
    table = variants(read_results(files.write(tmp_path)))
    assert ",".join(table.columns) == LEADERBOARD
    assert list(table["dataset"]) == ["mnist"] * 3 + ["usps"] * 3
    assert list(table["variant"][:3]) == ["linear", "cnn", "vit"]  # the tie by name
    first = table.iloc[0]
    expected = estimate(SeedScores((0.91, 0.92, 0.93), "accuracy", 2000))
    assert tuple(first[["mean", "ci_low", "ci_high", "seeds", "ci_of"]]) == expected
    assert first["by_seed"] == "[0.9100, 0.9200, 0.9300]"
    assert (first["direction"], first["data"], first["profile"]) == (
        "maximize",
        "official",
        "quick",
    )


def test_leaderboard_of_errors_has_the_lowest_first(tmp_path: Path) -> None:
    files = sweep(variants=("convlstm", "copy-last"), datasets=("mnist",), task="prediction")
    table = variants(read_results(files.write(tmp_path)))
    assert list(table["direction"]) == ["minimize"] * 2
    assert table["mean"].is_monotonic_increasing


def test_cells_without_finals_keep_their_row_last(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear", "vit"), datasets=("mnist",))
    files.cells["cnn-mnist-quick"]["finals"] = []
    files.run("vit-mnist-quick", "final", 0)["status"] = "failed"
    files.cells["vit-mnist-quick"]["finals"] = files.cells["vit-mnist-quick"]["finals"][:2]
    lines = written(files, tmp_path)["leaderboard.csv"].decode().splitlines()
    first = "classification,mnist,cnn,accuracy,maximize,,,,0,,,official,quick"
    assert lines[3] == f"{first},variant,,,,,,,,,4,,0 of 3 finals,"
    by_variant = {line.split(",")[2]: line.split(",") for line in lines[1:]}
    assert by_variant["vit"][6:9] == ["", "", "1"]  # one completed final: a mean, no interval
    assert by_variant["vit"][5]


def test_mixed_data_states_are_said(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.run("cnn-mnist-quick", "final", 1)["provenance"]["data"]["state"] = "stand-in"
    assert leaderboard(read_results(files.write(tmp_path)))["data"][0] == "official + stand-in"


def test_metrics_has_all_test_metrics_with_their_directions(tmp_path: Path) -> None:
    table = read(written(sweep(variants=("cnn",), datasets=("mnist",)), tmp_path), "metrics")
    assert ",".join(table.columns) == f"{SCORES},test_samples,note"
    assert list(zip(table["metric"], table["direction"], table["mean"], strict=True))[1:] == [
        ("loss", "minimize", 0.25),
        ("oddity", "", 7.0),
    ]


def test_a_metric_without_meaning_keeps_its_row_and_says_why(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    for number in range(3):
        files.run("cnn-mnist-quick", "final", number)["absent"] = {"loss": "it has | none"}
        del files.run("cnn-mnist-quick", "final", number)["metrics"]["test/loss"]
    tables = written(files, tmp_path)
    lines = [line for line in tables["metrics.csv"].decode().splitlines() if ",loss," in line]
    assert lines == [
        "classification,mnist,linear,loss,minimize,0.25,,,3,no spread,"
        '"[0.2500, 0.2500, 0.2500]",official,quick,2000,',
        "classification,mnist,cnn,loss,minimize,,,,0,,,official,quick,,n/a: it has | none",
    ]
    assert b"n/a: it has \\| none" in tables["metrics.md"]


def test_runs_lists_every_trial_and_final(tmp_path: Path) -> None:
    files = sweep()
    table = read(written(files, tmp_path), "runs")
    assert list(table) == [
        "run_id",
        "role",
        "task",
        "variant",
        "dataset",
        "profile",
        "seed",
        "status",
        "reason",
        "digest",
    ]
    assert set(table["run_id"]) == set(files.records)
    assert list(table["role"][:7]) == ["trial"] * 4 + ["final"] * 3
    assert table["dataset"].is_monotonic_increasing
    assert str(2**64 - 1) in set(table["seed"].astype(str))


def test_best_params_are_those_of_the_best_trial(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    cell = files.cells["cnn-mnist-quick"]
    cell["best"] = cell["trials"][1]
    files.run("cnn-mnist-quick", "trial", 1)["spec"]["hyperparameters"]["name"] = "=cmd()"
    assert written(files, tmp_path)["best_params.csv"].decode() == (
        "\ufeffstudy,variant,dataset,profile,parameter,parameter_value,parameter_text\n"
        "cnn-mnist-quick,cnn,mnist,quick,bias,1.0,\n"
        "cnn-mnist-quick,cnn,mnist,quick,learning_rate,0.0005,\n"
        "cnn-mnist-quick,cnn,mnist,quick,name,,'=cmd()\n"
        "cnn-mnist-quick,cnn,mnist,quick,routing,3.0,\n"
    )


def test_failures_lists_failed_runs_then_cells_without_a_final(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    failed = files.run("linear-mnist-quick", "trial", 2)
    failed |= {"status": "failed", "reason": "=HYPERLINK(1) | <b>\nTraceback: /secret"}
    files.run("linear-mnist-quick", "trial", 1)["status"] = "pruned"
    files.cells["cnn-mnist-quick"] |= {"finals": [], "reason": "no trial completed: NaN"}
    tables = written(files, tmp_path)
    assert tables["failures.csv"].decode() == (
        "\ufeffrun_id,role,variant,dataset,status,reason\n"
        f"{failed['run_id']},trial,linear,mnist,failed,'=HYPERLINK(1) | <b>\n"
        ",cell,cnn,mnist,no final,no trial completed: NaN\n"
    )
    assert b"=HYPERLINK(1) \\| &lt;b>" in tables["failures.md"]
    assert b"secret" not in b"".join(tables.values())


def test_a_cell_with_a_final_is_no_failure(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.cells["cnn-mnist-quick"]["reason"] = "of an earlier try"
    assert len(read(written(files, tmp_path), "failures")) == 0


def test_data_lists_each_state_once(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("usps", "mnist"))
    files.run("cnn-usps-quick", "trial", 0)["provenance"]["data"] = None
    files.run("cnn-usps-quick", "trial", 1)["provenance"]["data"]["path"] = "elsewhere"
    used = (5000, 1000, 2000, 10_000, "stratified")
    assert list(read(written(files, tmp_path), "data").itertuples(index=False, name=None)) == [
        ("mnist", "official", SAMPLES, *used, 7, fingerprint("mnist")),
        ("usps", "official", SAMPLES, *used, 6, fingerprint("usps")),
    ]


def test_data_says_how_many_samples_runs_used(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.run("cnn-mnist-quick", "trial", 1)["samples"] |= {"train": 128, "test": 64}
    table = read(written(files, tmp_path), "data")
    assert list(zip(table["train"], table["test"], table["runs"], strict=True)) == [
        (128, 64, 1),
        (5000, 2000, 6),
    ]


def test_costs_counts_runs_and_averages_finals(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    files.run("cnn-mnist-quick", "trial", 0)["status"] = "pruned"
    files.run("cnn-mnist-quick", "trial", 1)["status"] = "failed"
    for number in range(3):
        files.run("cnn-mnist-quick", "final", number)["spec"]["device"] = "cuda"
    files.run("cnn-mnist-quick", "final", 2)["costs"]["peak_memory_bytes"] = 200_000_000
    files.cells["cnn-mnist-quick"]["epochs"] = {"had": 1, "saved": 2}
    files.cells["cnn-mnist-quick"]["retries"] = 5
    files.cells["linear-mnist-quick"]["finals"] = []
    lines = written(files, tmp_path)["costs.csv"].decode().splitlines()
    cell = "classification,mnist,cnn,quick,4,1,2,1,5,3,3,5000"
    assert lines[1] == f"{cell},8215568,123456789,5.0,2.0,1000.0,200000000,40.0"
    assert lines[2] == "classification,mnist,linear,quick,4,0,0,0,0,0,,,,,,,,,25.0"


def test_equal_sweeps_give_equal_bytes_but_for_costs(tmp_path: Path) -> None:
    first = written(sweep(), tmp_path / "a", FORMATS, shuffle=1)
    second = written(sweep(clock=1.7), tmp_path / "another place", FORMATS, shuffle=2)
    suffixes = [SUFFIXES[name] for name in FORMATS]
    names = {f"{name}.{suffix}" for name in TABLES for suffix in suffixes} | {"tables.tex"}
    names -= {f"{name}.{suffix}" for name in DATA_TABLES for suffix in ("md", "tex")}
    assert set(first) == names
    clock = {f"costs.{suffix}" for suffix in suffixes} | {"scores.csv", "scores.parquet"}
    assert {name for name in first if first[name] != second[name]} == clock
    texts = [content for name, content in second.items() if not name.endswith(".parquet")]
    assert not any(b"\r" in content or b"another place" in content for content in texts)


def test_runs_that_no_cell_names_change_no_table(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",))
    alone = written(files, tmp_path / "a")
    by_hand = sweep(variants=("vit",), datasets=("cifar10",))
    for record in by_hand.records.values():
        record["status"] = "failed"
    files.records |= by_hand.records
    files.curves |= by_hand.curves
    assert written(files, tmp_path / "b") == alone


@pytest.mark.parametrize("name", [name for name in TABLES if name not in DATA_TABLES])
def test_markdown_has_the_rows_of_csv(tmp_path: Path, name: str) -> None:
    tables = written(sweep(variants=("cnn", "linear"), datasets=("mnist",)), tmp_path)
    lines = tables[f"{name}.md"].decode().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    columns = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert columns == list(read(tables, name))
    assert len(rows) - 2 == len(read(tables, name))


def test_the_leaderboard_explains_itself(tmp_path: Path) -> None:
    note = written(sweep(), tmp_path)["leaderboard.md"].decode().partition("\n\n")[2]
    for word in (
        "95 of 100",
        "seeds",
        "official",
        "unofficial",
        "partial",
        "generated",
        "stand-in",
    ):
        assert word in note


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda r: r["provenance"].update(code_version="other"), "2 code versions are mixed"),
        (lambda r: r["provenance"]["data"].update(sha256="cd"), "2 states of data are mixed"),
        (lambda r: r["spec"].update(device="cuda"), "2 devices are mixed"),
    ],
)
def test_what_mixes_is_flagged_in_the_table_itself(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], phrase: str
) -> None:
    files = sweep(variants=("cnn", "linear"))
    change(files.run("cnn-mnist-quick", "final", 0))
    tables = written(files, tmp_path)
    assert phrase in tables["leaderboard.md"].decode().partition("|")[0]
    notes = read(tables, "leaderboard").set_index("dataset")["notes"]
    assert notes["mnist"].str.contains(phrase).all()
    assert not notes["usps"].str.contains(phrase).any()


def test_profiles_in_one_table_are_flagged(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",))
    other = sweep(variants=("cnn",), profile="smoke")
    files.add(other)
    assert "Profiles quick, smoke are in these tables: compare within one." in flags(
        read_results(files.write(tmp_path))
    )


def test_ranks_leave_out_what_does_not_cover_all_datasets(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear", "vit"))
    files.cells["vit-usps-quick"]["finals"] = []
    for dataset in ("mnist", "usps"):
        put(files, f"cnn-{dataset}-quick", [0.9, 0.9, 0.9])
        put(files, f"linear-{dataset}-quick", [0.8, 0.8, 0.8])
    table = ranks(read_results(files.write(tmp_path))).set_index("variant")
    assert list(table["mean_rank"][:2]) == [1, 2]
    assert list(table["skill"][:2]) == pytest.approx([1 - 0.1 / 0.875, 1 - 0.2 / 0.875])
    assert table.loc["vit", "note"] == "does not cover all datasets"
    assert "2 variants, 2 datasets" in table["note"]["cnn"]


def test_importance_has_the_weightiest_first(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=20)
    files.cells["cnn-mnist-quick"]["importance"] = {"a": 0.2, "b": 0.8}
    table = read(written(files, tmp_path), "importance")
    assert list(table["parameter"]) == ["b", "a"]


def test_parquet_has_the_rows_and_types_of_the_table(tmp_path: Path) -> None:
    files = sweep()
    written(files, tmp_path, ["parquet"])
    path = tmp_path / "report" / "tables" / "costs.parquet"
    found = pd.read_parquet(path)
    assert list(found) == list(COSTS)
    assert len(found) == 4
    assert found["seconds"].dtype == "float64"


def test_an_unchanged_report_is_left_as_it_is(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    build(files.write(tmp_path))
    table, page = (tmp_path / "report" / name for name in ("tables/runs.csv", "index.html"))
    before = table.stat().st_mtime_ns, page.stat().st_mtime_ns
    build(tmp_path)
    assert table.stat().st_mtime_ns == before[0]
    assert page.stat().st_mtime_ns == before[1]
    files.cells["cnn-mnist-quick"]["reason"] = "changed"
    files.write(tmp_path)
    build(tmp_path)
    assert table.stat().st_mtime_ns > before[0]


@pytest.mark.parametrize("name", ["tables/runs.csv", "index.html"])
def test_a_report_over_which_an_older_one_was_unpacked_is_written_again(
    tmp_path: Path, name: str
) -> None:
    """This also holds if the older file has a newer time: contents are compared, not times."""
    build(sweep(variants=("cnn",), datasets=("mnist",)).write(tmp_path))
    path = tmp_path / "report" / name
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(b"older")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    build(tmp_path)
    assert path.read_bytes() == before


def test_one_seed_is_described_in_its_own_words(tmp_path: Path) -> None:
    one, two = (sweep(variants=("cnn",), finals=n).write(tmp_path / str(n)) for n in (1, 2))
    assert flags(read_results(one))[-1].startswith("Some means are over 1 seed: that is too few")
    assert flags(read_results(two))[-1].startswith("Some means are over 2 seeds: that is too few")


def test_a_cell_without_a_search_has_the_hyperparameters_of_its_finals(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=0, profile="published")
    results = read_results(files.write(tmp_path))
    for name in TABLES:
        build_tables(results, [name])
    assert results.cells[0].progress == "done"
    table = build_tables(results, ["best_params"])["best_params"]
    assert dict(zip(table["parameter"], table["parameter_value"], strict=True)) == {
        "bias": 1,
        "learning_rate": 0.001,
        "routing": 3,
    }
    assert list(variants(results)["trials"]) == [0]


def test_trials_of_several_seeds_count_once(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=4)
    files.cells["cnn-mnist-quick"] |= {
        "states": {"complete": 1, "pruned": 1, "fail": 0},
        "planned": {"trials": 3, "finals": 3},
    }
    results = read_results(files.write(tmp_path))
    assert list(variants(results)["trials"]) == [2]
    assert results.cells[0].progress == "2 of 3 trials"


def test_the_size_of_the_test_set_is_in_the_leaderboard(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    files.run("linear-mnist-quick", "final", 1)["samples"]["test"] = 500
    table = leaderboard(read_results(files.write(tmp_path))).set_index("variant")
    assert table.loc["cnn", "test_samples"] == 2000
    assert pd.isna(table["test_samples"]["linear"])  # two sizes
    assert "2 sets of test samples are mixed here" in table["notes"]["cnn"]
