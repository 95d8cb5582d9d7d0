from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from benchmarks.records.errors import InputError
from reports.curve_index import FOLDER, curves, remove_other_curves
from reports.results import read_results
from tests.reports.results_folder import sweep


def test_curves_are_long_and_sorted(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=1, finals=1, epochs=2)
    results = read_results(files.write(tmp_path))
    table = curves(results, results.cells[0])
    assert list(table) == ["run_id", "epoch", "metric", "value"]
    assert len(table) == 2 * 2 * 2
    run = results.cells[0].finals[0]
    one = table[(table["run_id"] == run.run_id) & (table["metric"] == "validation/accuracy")]
    lines = [line["metrics"]["validation/accuracy"] for line in files.curves[run.run_id]]
    assert list(one["value"]) == lines
    assert list(one["epoch"]) == [1, 2]


def test_the_last_line_of_a_repeated_epoch_counts(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), epochs=2)
    run_id = files.run("cnn-mnist-quick", "trial", 0)["run_id"]
    files.curves[run_id].append({"epoch": 2, "step": 64, "metrics": {"validation/accuracy": 0.5}})
    results = read_results(files.write(tmp_path))
    table = curves(results, results.cells[0], "validation/accuracy")
    one = table[table["run_id"] == run_id].set_index("epoch")["value"]
    assert list(one.index) == [1, 2]
    assert one[2] == 0.5


def test_curves_hold_what_no_json_should(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=0, finals=1, epochs=3)
    (run_id,) = files.records
    for line, value in zip(files.curves[run_id], (math.nan, math.inf, None), strict=True):
        line["metrics"] = {"x": value}
    results = read_results(files.write(tmp_path))
    values = list(curves(results, results.cells[0])["value"])
    assert [math.isnan(values[0]), values[1], math.isnan(values[2])] == [True, math.inf, True]


def test_curves_of_runs_without_epochs_are_empty(tmp_path: Path) -> None:
    files = sweep(variants=("copy-last",), datasets=("mnist",), epochs=0)
    results = read_results(files.write(tmp_path))
    assert len(curves(results, results.cells[0])) == 0


def test_a_folder_with_signs_of_patterns(tmp_path: Path) -> None:
    results = read_results(sweep(variants=("cnn",)).write(tmp_path / "a[b]*?c 'd'"))
    assert len(curves(results, results.cells[0])) == 7 * 3 * 2
    assert len(curves(results, results.cells[0])) == 7 * 3 * 2  # from the index


def test_a_torn_or_missing_curve_is_named(tmp_path: Path) -> None:
    results = read_results(sweep().write(tmp_path))
    path = tmp_path / "runs" / results.cells[0].trials[0].run_id / "metrics.jsonl"
    path.write_text('{"epoch": 1, "metr')
    with pytest.raises(InputError, match="torn or not JSON") as error:
        curves(results, results.cells[0])
    assert str(path) in str(error.value)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read") as error:
        curves(results, results.cells[0])
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", b"run_id\n1\n"])
def test_a_damaged_index_is_made_again(tmp_path: Path, content: bytes) -> None:
    results = read_results(sweep(variants=("cnn",), datasets=("mnist",)).write(tmp_path))
    curves(results, results.cells[0])
    (path,) = (tmp_path / FOLDER / "curves").iterdir()
    path.write_bytes(content)
    assert len(curves(results, results.cells[0])) == 7 * 3 * 2


def test_a_record_of_another_time_and_equal_content_changes_nothing(tmp_path: Path) -> None:
    results = read_results(sweep(variants=("cnn",), datasets=("mnist",)).write(tmp_path))
    curves(results, results.cells[0])
    (kept,) = (tmp_path / FOLDER / "curves").iterdir()
    for path in tmp_path.glob("runs/*/record.json"):
        os.utime(path, (0, 0))
    curves(read_results(tmp_path), results.cells[0])
    assert [*(tmp_path / FOLDER / "curves").iterdir()] == [kept]


def test_curves_of_other_times_go(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    results = read_results(files.write(tmp_path))
    curves(results, results.cells[0])
    remove_other_curves(results)
    (kept,) = (tmp_path / FOLDER / "curves").iterdir()
    run_id = files.run("cnn-mnist-quick", "final", 0)["run_id"]
    record = tmp_path / "runs" / run_id / "record.json"
    record.write_text(record.read_text() + "  ")
    results = read_results(tmp_path)
    curves(results, results.cells[0])
    remove_other_curves(results)
    (new,) = (tmp_path / FOLDER / "curves").iterdir()
    assert new != kept
