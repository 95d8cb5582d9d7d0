import pytest
from results_folder import sweep

from reports.records import ReportError, load


def test_reads_cells_with_their_finished_runs(tmp_path):
    results = load(sweep(trials=4, finals=3).write(tmp_path))
    assert [cell.study for cell in results.cells] == [
        "capsnet-mnist-quick",
        "linear-mnist-quick",
        "capsnet-usps-quick",
        "linear-usps-quick",
    ]
    assert len(results.runs) == 4 * 7
    cell = results.cells[0]
    assert [trial.role for trial in cell.trials] == ["trial"] * 4
    assert cell.best is cell.trials[0]
    assert cell.scored == cell.finals
    assert cell.finals[0].seed == 2**64 - 1


def test_a_run_without_a_record_has_not_finished(tmp_path):
    files = sweep()
    run_id = files.run("capsnet-mnist-quick", "final", 1)["run_id"]
    (files.write(tmp_path) / "runs" / run_id / "record.json").unlink()
    results = load(tmp_path)
    assert len(results.cells[0].finals) == 2
    assert run_id not in {run.run_id for run in results.runs}


def test_a_best_trial_without_a_record_is_none(tmp_path):
    files = sweep()
    del files.records[files.cells["capsnet-mnist-quick"]["best"]]
    cell = load(files.write(tmp_path)).cells[0]
    assert (cell.best, len(cell.trials)) == (None, 3)


def test_only_runs_that_cells_name_are_read(tmp_path):
    files = sweep(trials=4, finals=3)
    by_hand = files.cells["capsnet-mnist-quick"]["trials"].pop()
    superseded = files.cells["capsnet-mnist-quick"]["finals"].pop()
    files.write(tmp_path)
    (tmp_path / "runs" / by_hand / "record.json").write_text("torn")
    results = load(tmp_path)
    assert len(results.runs) == 4 * 7 - 2
    assert not {by_hand, superseded} & {run.run_id for run in results.runs}


def test_a_run_of_two_cells_is_one_run(tmp_path):
    files = sweep(variants=("linear",), datasets=("mnist",), trials=2, finals=1)
    files.cells["again"] = files.cells["linear-mnist-quick"] | {"study": "again"}
    results = load(files.write(tmp_path))
    assert [len(cell.trials) for cell in results.cells] == [2, 2]
    assert len(results.runs) == 3


def test_a_run_that_failed_early_lacks_most_fields(tmp_path):
    files = sweep()
    record = files.run("capsnet-mnist-quick", "trial", 3)
    record |= {"status": "failed", "reason": "no memory", "epochs": 0}
    record |= {"metrics": {}, "digest": None, "costs": None, "provenance": None}
    run = load(files.write(tmp_path)).cells[0].trials[3]
    assert (run.status, run.reason, run.digest, run.data) == ("failed", "no memory", "", None)


def test_floors_and_samples_are_read(tmp_path):
    run = load(sweep().write(tmp_path)).cells[0].finals[0]
    assert run.floors["largest class"] == {"accuracy": 0.125}
    assert (run.samples.train, run.samples.validation) == (5000, 1000)
    assert (run.samples.test, run.samples.test_of) == (2000, 10_000)
    assert run.samples.test_selection == "stratified"


def test_records_of_older_versions_have_neither_floors_nor_samples(tmp_path):
    files = sweep()
    for record in files.records.values():
        del record["floors"], record["samples"]
    run = load(files.write(tmp_path)).cells[0].finals[0]
    assert (run.floors, run.samples) == ({}, None)


def told(root):
    with pytest.raises(ReportError) as error:
        load(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_empty_or_missing_folder_is_told(tmp_path):
    for root in (tmp_path, tmp_path / "nothing"):
        assert told(root).startswith(f"{root}: no results here yet")


def test_runs_without_cells_are_no_results(tmp_path):
    files = sweep()
    files.cells.clear()
    assert told(files.write(tmp_path)).startswith(f"{tmp_path}: no results here yet")


@pytest.mark.parametrize(
    "content",
    [b'{"run_id": "ab', b"", b"\xff\xfe", b"[" * 100_000],
    ids=["half", "empty", "binary", "nested"],
)
def test_a_torn_record_is_named(tmp_path, content):
    files = sweep()
    run_id = next(iter(files.records))
    path = files.write(tmp_path) / "runs" / run_id / "record.json"
    path.write_bytes(content)
    assert told(tmp_path).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": "done"}, "'status' is none of complete, pruned, failed"),
        ({"status": 1}, "'status' is not of type str"),
        ({"status": None}, "lacks 'status'"),
        ({"spec": []}, "'spec' is not an object"),
        ({"spec": {}}, "lacks 'spec.role'"),
        ({"epochs": True}, "'epochs' is not of type int"),
        ({"metrics": {"test/accuracy": "high"}}, "'test/accuracy' in 'metrics' is not a number"),
        ({"absent": {"nll": 1}}, "'nll' in 'absent' is not a text"),
        ({"metrics": {}}, "a completed final lacks 'test/accuracy'"),
        ({"metrics": {"loss": 10**400}}, "'loss' in 'metrics' is too large a number"),
        ({"epochs": -1}, "'epochs' is not a count"),
        ({"floors": []}, "'floors' is not of type dict"),
        ({"floors": {"blank": 1}}, "'blank' in 'floors' is not an object"),
        ({"floors": {"a.b": {"mse": "0"}}}, "'mse' in 'floors.a.b' is not a number"),
        ({"floors": {"blank": {"mse": True}}}, "'mse' in 'floors.blank' is not a number"),
        ({"samples": 60_000}, "'samples' is not of type dict"),
        ({"samples": {}}, "lacks 'samples.test_selection'"),
        (
            {"samples": {"test_selection": "<b>"}},
            "'samples.test_selection' is none of all, stratified, random, generated",
        ),
        (
            {"samples": {"test_selection": "all", "test": 2**63}},
            "'samples.test' is not a count",
        ),
        (
            {"samples": {"test_selection": "all", "train": 0.5}},
            "'samples.train' is not of type int",
        ),
        ({"run_id": "another"}, "'run_id' is not the name of its folder"),
    ],
)
def test_a_record_of_another_shape_is_named(tmp_path, change, why):
    files = sweep()
    run_id = files.run("linear-usps-quick", "final", 0)["run_id"]
    files.records[run_id] |= change
    files.write(tmp_path)
    path = tmp_path / "runs" / run_id / "record.json"
    assert told(tmp_path) == f"{path}: not of the expected shape: {why}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"study": "../../escape"}, "'study' is not the name of its file"),
        (
            {"directions": {"accuracy": "up"}},
            "the direction of 'accuracy' is none of maximize, minimize",
        ),
        ({"trials": None}, "lacks 'trials'"),
        ({"best": 1}, "'best' is not of type str"),
        *(
            ({"finals": [run_id]}, "'finals' holds something other than run ids")
            for run_id in (1, "", "..", "../../elsewhere", "nul\0", "x" * 1000)
        ),
    ],
)
def test_a_cell_of_another_shape_is_named(tmp_path, change, why):
    files = sweep()
    files.cells["linear-usps-quick"] |= change
    path = files.write(tmp_path) / "cells" / "linear-usps-quick.json"
    assert told(tmp_path) == f"{path}: not of the expected shape: {why}"


def test_a_file_that_is_no_object_is_named(tmp_path):
    path = sweep().write(tmp_path) / "cells" / "linear-usps-quick.json"
    path.write_text("[]")
    assert told(tmp_path) == f"{path}: not of the expected shape: 'the file' is not an object"


def test_cells_of_a_sweep_without_bases(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    del files.cells["cnn-mnist-quick"]["bases"]
    assert load(files.write(tmp_path)).cells[0].bases == ()


@pytest.mark.parametrize(
    ("change", "progress"),
    [
        ({}, "done"),
        ({"finals": []}, "0 of 3 finals"),
        ({"finals": [], "planned": {"trials": 9, "finals": 3}}, "4 of 9 trials"),
        ({"finals": [], "reason": "no trial completed"}, "failed"),
    ],
)
def test_progress_says_what_is_there_of_what_is_planned(tmp_path, change, progress):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.cells["cnn-mnist-quick"] |= change
    assert load(files.write(tmp_path)).cells[0].progress == progress


def test_importance_is_read_from_the_ledger(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    assert load(files.write(tmp_path)).cells[0].importance == {}
    cell = files.cells["cnn-mnist-quick"]
    cell["importance"] = {"lr": 0.75, "width": 0.25}
    assert load(files.write(tmp_path)).cells[0].importance == {"lr": 0.75, "width": 0.25}
    cell["importance"] = {"lr": "much"}
    files.write(tmp_path)
    assert "'lr' in 'importance' is not a number" in told(tmp_path)
