"""Tests scores, trials, the matrix, single runs, and types in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.build import build
from reports.curve_index import curves
from reports.flags import flags
from reports.formats import BYTE_ORDER_MARK
from reports.results import Results, read_results
from reports.tables import TABLES, build_tables
from reports.tables.trial_lists import trials_of
from tests.reports.results_folder import Files, sweep


def with_single_run(files: Files) -> dict[str, Any]:
    """Adds a run that `capsbench run` has made."""
    others = sweep(variants=("pcae",), datasets=("svhn",), trials=1, finals=0)
    (record,) = others.records.values()
    record["study"] = None
    files.records |= others.records
    files.curves |= others.curves
    return record


def trials_by_number(results: Results) -> pd.DataFrame:
    return trials_of(results.cells[0]).set_index("number")


def test_scores_have_a_row_per_run_and_metric(tmp_path: Path) -> None:
    table = TABLES["scores"](
        read_results(sweep(variants=("cnn",), datasets=("mnist",)).write(tmp_path))
    )
    assert len(table) == 4 * 1 + 3 * 4
    assert list(table["role"].unique()) == ["trial", "final"]
    final = table[(table["role"] == "final") & (table["metric"] == "accuracy")]
    assert list(final["split"].unique()) == ["test", "validation"]
    tested = final[final["split"] == "test"]
    assert list(tested["test_samples"]) == [2000] * 3
    assert set(tested["seed"]) == {2**64 - 1, 2**64 - 2, 2**64 - 3}
    assert final[final["split"] == "validation"]["test_samples"].isna().all()
    assert list(tested["epochs"]) == [3] * 3
    assert sorted(tested["seconds"]) == [2.5, 5.0, 7.5]


def test_single_runs_are_in_scores_and_runs_alone(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    before = build_tables(read_results(files.write(tmp_path / "a")))
    record = with_single_run(files)
    after = build_tables(read_results(files.write(tmp_path / "b")))
    for name in TABLES:
        added = len(after[name]) - len(before[name])
        assert added == (1 if name in ("scores", "runs") else 0), name
    row = after["runs"].iloc[-1]
    assert (row["role"], row["run_id"]) == ("single", record["run_id"])
    assert (row["task"], row["profile"]) == ("classification", "quick")


def test_a_folder_of_single_runs_alone_has_a_report(tmp_path: Path) -> None:
    files = sweep(variants=(), datasets=())
    with_single_run(files)
    results = build(files.write(tmp_path))
    assert list(TABLES["scores"](results)["role"]) == ["single"]
    assert (tmp_path / "report" / "index.html").is_file()


def test_a_single_run_that_cannot_be_read_is_said_and_left_out(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    run_id = with_single_run(files)["run_id"]
    path = files.write(tmp_path) / "runs" / run_id / "record.json"
    path.write_text("torn")
    results = read_results(tmp_path)
    assert results.single == ()
    assert any(str(path) in sentence for sentence in flags(results))


def test_a_single_run_makes_a_report_anew(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    build(files.write(tmp_path))
    with_single_run(files)
    build(files.write(tmp_path))
    assert "single" in (tmp_path / "report" / "tables" / "runs.csv").read_text()


def test_a_study_has_a_row_per_trial_and_its_searched_hyperparameters(
    tmp_path: Path,
) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    for number, name in enumerate(("adam", "1e3", "adam", "sgd")):
        spec = files.run("cnn-mnist-quick", "trial", number)["spec"]
        spec["hyperparameters"]["optimiser"] = name
    files.run("cnn-mnist-quick", "trial", 1)["status"] = "pruned"
    failed = files.run("cnn-mnist-quick", "trial", 2)
    failed |= {"status": "failed", "metrics": {}}
    results = read_results(files.write(tmp_path))
    table = trials_by_number(results)
    searched = [name for name in table.columns if name.startswith("params_")]
    assert searched == ["params_learning_rate", "params_optimiser"]
    assert list(table["params_learning_rate"]) == [1e-3 / n for n in (1, 2, 3, 4)]
    assert list(table["state"]) == ["complete", "pruned", "failed", "complete"]
    assert table.loc[0, "value"] == results.cells[0].trials[0].score
    assert pd.isna(table["value"][2])
    long = TABLES["trials"](results)
    assert len(long) == 4 * 2
    texts = long[long["parameter"] == "optimiser"]["parameter_text"]
    assert list(texts) == ["adam", '"1e3"', "adam", "sgd"]


def test_a_trial_of_several_seeds_is_one_row(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=4)
    for number in range(4):
        spec = files.run("cnn-mnist-quick", "trial", number)["spec"]
        spec["hyperparameters"]["learning_rate"] = 0.1 if number < 3 else 0.2
    files.cells["cnn-mnist-quick"]["states"] = {"complete": 1, "pruned": 1, "fail": 0}
    results = read_results(files.write(tmp_path))
    table = trials_by_number(results)
    assert list(table["runs"]) == [3, 1]
    assert list(table["state"]) == ["complete", "pruned"]
    scores = [run.score for run in results.cells[0].trials]
    assert table.loc[0, "value"] == pytest.approx(sum(scores[:3]) / 3)


def test_the_matrix_has_the_means_of_the_leaderboard(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "vit"))
    files.add(sweep(variants=("tlb",), datasets=("mnist",), task="prediction"))
    files.cells["vit-usps-quick"]["finals"] = []
    tables = build_tables(read_results(files.write(tmp_path)), ["matrix", "leaderboard"])
    matrix = tables["matrix"].set_index(["task", "variant"])
    assert list(matrix) == ["profile", "mnist", "usps"]
    board = tables["leaderboard"].query("kind == 'variant'")
    for row in board.to_dict("records"):
        found = matrix[row["dataset"]][row["task"], row["variant"]]
        assert found == row["mean"] or (pd.isna(found) and pd.isna(row["mean"]))
    assert pd.isna(matrix["usps"]["prediction", "tlb"])


def kind(column: pd.Series[Any]) -> str:
    """Returns the type of the known values in a column."""
    known = column[column.notna() & (column.astype("str") != "")]
    if known.empty:
        return "nothing known"
    return "number" if pd.api.types.is_numeric_dtype(known) else "text"


@pytest.mark.parametrize("finals", [1, 3])
def test_columns_have_equal_types_in_csv_and_parquet(tmp_path: Path, finals: int) -> None:
    files = sweep(variants=("cnn", "capsnet"), datasets=("mnist", "usps"), finals=finals)
    files.run("cnn-mnist-quick", "trial", 1)["status"] = "failed"
    with_single_run(files)
    folder = build(files.write(tmp_path)).root / "report" / "tables"
    for name in TABLES:
        csv = pd.read_csv(folder / f"{name}.csv")
        parquet = pd.read_parquet(folder / f"{name}.parquet")
        assert list(csv) == list(parquet)
        for column in csv:
            assert kind(csv[column]) == kind(parquet[column]), f"{name}.{column}"
        if "seed" in csv:
            assert list(csv["seed"]) == list(parquet["seed"])
            assert csv["seed"].dtype == parquet["seed"].dtype == "uint64"


def test_a_report_reads_the_texts_of_its_records(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.run("cnn-mnist-quick", "trial", 1)["status"] = "failed"
    files.run("cnn-mnist-quick", "trial", 1)["reason"] = "é 😀\u202e."
    folder = build(files.write(tmp_path)).root / "report" / "tables"
    for table in (
        pd.read_csv(folder / "failures.csv"),
        pd.read_parquet(folder / "failures.parquet"),
    ):
        assert list(table["reason"]) == ["é 😀 ."]


def test_excel_and_pandas_read_csv(tmp_path: Path) -> None:
    """Tests the byte order mark, without which Excel takes a file for another encoding."""
    build(sweep(variants=("cnn",), datasets=("mnist",)).write(tmp_path))
    path = tmp_path / "report" / "tables" / "leaderboard.csv"
    assert path.read_bytes().startswith(BYTE_ORDER_MARK.encode())
    for engine in ("c", "python", "pyarrow"):
        assert next(iter(pd.read_csv(path, engine=engine))) == "task"


def test_curves_in_a_folder_named_like_a_partition(tmp_path: Path) -> None:
    results = read_results(
        sweep(variants=("cnn",), datasets=("mnist",)).write(tmp_path / "year=2020")
    )
    for _ in ("made", "read"):
        assert list(curves(results, results.cells[0])) == ["run_id", "epoch", "metric", "value"]
        assert set(curves(results, results.cells[0], "train/loss")["metric"]) == {"train/loss"}
