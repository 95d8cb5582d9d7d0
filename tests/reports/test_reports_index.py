import math
import os

import pytest
from results_folder import sweep

from reports.index import FOLDER, curves, load_indexed, save
from reports.records import ReportError, load


def indexed(root):
    """Results as the second report of a folder reads them."""
    save(load(root))
    return load_indexed(root)


def test_the_index_gives_what_the_records_say(tmp_path):
    files = sweep()
    failed = files.run("linear-usps-quick", "trial", 1)
    failed |= {"status": "failed", "reason": "no memory: 😀 '\\", "metrics": {}, "costs": {}}
    failed["provenance"] = None
    files.write(tmp_path)
    assert indexed(tmp_path) == load(tmp_path)


def test_only_changed_records_are_read_again(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    before = indexed(files.write(tmp_path)).cells[0].finals
    files.run("cnn-mnist-quick", "final", 1)["metrics"]["test/accuracy"] = 0.125
    files.write(tmp_path / "other")
    changed = before[1].run_id
    other = tmp_path / "other" / "runs" / changed / "record.json"
    (tmp_path / "runs" / changed / "record.json").write_bytes(other.read_bytes() + b" ")
    unread = tmp_path / "runs" / before[0].run_id / "record.json"
    found = unread.stat()
    unread.write_bytes(b"x" * found.st_size)
    os.utime(unread, ns=(found.st_atime_ns, found.st_mtime_ns))
    after = load_indexed(tmp_path).cells[0].finals
    assert after[0] == before[0]
    assert after[1].metrics["test/accuracy"] == 0.125


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", b"run_id\n1\n"])
def test_a_damaged_index_is_made_again(tmp_path, content):
    results = indexed(sweep().write(tmp_path))
    (tmp_path / FOLDER / "runs.parquet").write_bytes(content)
    assert load_indexed(tmp_path) == results
    assert indexed(tmp_path) == results


def test_curves_are_long_and_sorted(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=1, finals=1, epochs=2)
    results = load(files.write(tmp_path))
    table = curves(results, results.cells[0])
    assert list(table) == ["run_id", "epoch", "metric", "value"]
    assert len(table) == 2 * 2 * 2
    run = results.cells[0].finals[0]
    one = table[(table["run_id"] == run.run_id) & (table["metric"] == "validation/accuracy")]
    lines = [line["metrics"]["validation/accuracy"] for line in files.curves[run.run_id]]
    assert list(one["value"]) == lines
    assert list(one["epoch"]) == [1, 2]


def test_the_last_line_of_a_repeated_epoch_counts(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",), epochs=2)
    run_id = files.run("cnn-mnist-quick", "trial", 0)["run_id"]
    files.curves[run_id].append({"epoch": 2, "step": 64, "metrics": {"validation/accuracy": 0.5}})
    results = load(files.write(tmp_path))
    table = curves(results, results.cells[0], "validation/accuracy")
    one = table[table["run_id"] == run_id].set_index("epoch")["value"]
    assert list(one.index) == [1, 2]
    assert one[2] == 0.5


def test_curves_hold_what_no_json_should(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=0, finals=1, epochs=3)
    (run_id,) = files.records
    for line, value in zip(files.curves[run_id], (math.nan, math.inf, None), strict=True):
        line["metrics"] = {"x": value}
    results = load(files.write(tmp_path))
    values = list(curves(results, results.cells[0])["value"])
    assert [math.isnan(values[0]), values[1], math.isnan(values[2])] == [True, math.inf, True]


def test_curves_of_runs_without_epochs_are_empty(tmp_path):
    files = sweep(variants=("copy-last",), datasets=("mnist",), epochs=0)
    results = load(files.write(tmp_path))
    assert len(curves(results, results.cells[0])) == 0


def test_a_folder_with_signs_of_patterns(tmp_path):
    results = indexed(sweep(variants=("cnn",)).write(tmp_path / "a[b]*?c 'd'"))
    assert len(curves(results, results.cells[0])) == 7 * 3 * 2
    assert len(curves(results, results.cells[0])) == 7 * 3 * 2  # from the index


def test_a_torn_or_missing_curve_is_told(tmp_path):
    results = load(sweep().write(tmp_path))
    path = tmp_path / "runs" / results.cells[0].trials[0].run_id / "metrics.jsonl"
    path.write_text('{"epoch": 1, "metr')
    with pytest.raises(ReportError, match="torn or not JSON") as error:
        curves(results, results.cells[0])
    assert str(path) in str(error.value)
    path.unlink()
    with pytest.raises(ReportError, match="cannot be read") as error:
        curves(results, results.cells[0])
    assert str(path) in str(error.value)


def test_curves_of_other_times_go(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    results = load(files.write(tmp_path))
    curves(results, results.cells[0])
    save(results)
    (kept,) = (tmp_path / FOLDER / "curves").iterdir()
    run_id = files.run("cnn-mnist-quick", "final", 0)["run_id"]
    record = tmp_path / "runs" / run_id / "record.json"
    record.write_text(record.read_text() + "  ")
    results = load(tmp_path)
    curves(results, results.cells[0])
    save(results)
    (new,) = (tmp_path / FOLDER / "curves").iterdir()
    assert new != kept
