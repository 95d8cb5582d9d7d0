from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from reports.build import build
from reports.flags import flags
from reports.results import read_results
from tests.reports.results_folder import sweep

WHOLE = {"train": 1, "validation": 1, "test": 1, "test_of": 1, "test_selection": "all"}


def test_reads_cells_with_their_finished_runs(tmp_path: Path) -> None:
    results = read_results(sweep(trials=4, finals=3).write(tmp_path))
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


def test_a_run_without_a_record_has_not_finished(tmp_path: Path) -> None:
    files = sweep()
    run_id = files.run("capsnet-mnist-quick", "final", 1)["run_id"]
    (files.write(tmp_path) / "runs" / run_id / "record.json").unlink()
    results = read_results(tmp_path)
    assert len(results.cells[0].finals) == 2
    assert run_id not in {run.run_id for run in results.runs}


def test_a_best_trial_without_a_record_is_none(tmp_path: Path) -> None:
    files = sweep()
    del files.records[files.cells["capsnet-mnist-quick"]["best"]]
    cell = read_results(files.write(tmp_path)).cells[0]
    assert (cell.best, len(cell.trials)) == (None, 3)


def test_only_runs_that_cells_name_are_read(tmp_path: Path) -> None:
    files = sweep(trials=4, finals=3)
    by_hand = files.cells["capsnet-mnist-quick"]["trials"].pop()
    superseded = files.cells["capsnet-mnist-quick"]["finals"].pop()
    files.write(tmp_path)
    (tmp_path / "runs" / by_hand / "record.json").write_text("torn")
    results = read_results(tmp_path)
    assert len(results.runs) == 4 * 7 - 2
    assert not {by_hand, superseded} & {run.run_id for run in results.runs}


def test_a_run_of_two_cells_is_one_run(tmp_path: Path) -> None:
    files = sweep(variants=("linear",), datasets=("mnist",), trials=2, finals=1)
    files.cells["again"] = files.cells["linear-mnist-quick"] | {"study": "again"}
    results = read_results(files.write(tmp_path))
    assert [len(cell.trials) for cell in results.cells] == [2, 2]
    assert len(results.runs) == 3


def test_a_run_that_failed_early_has_no_metrics(tmp_path: Path) -> None:
    files = sweep()
    record = files.run("capsnet-mnist-quick", "trial", 3)
    record |= {"status": "failed", "reason": "no memory", "epochs": 0, "history": []}
    record |= {"metrics": {}, "costs": {"seconds": 0.0, "parameters": None}}
    record["provenance"]["data"] = None
    run = read_results(files.write(tmp_path)).cells[0].trials[3]
    assert (run.status, run.reason, run.data) == ("failed", "no memory", None)
    assert run.cost("seconds") == 0
    assert math.isnan(run.cost("parameters"))


def test_floors_and_samples_are_read(tmp_path: Path) -> None:
    run = read_results(sweep().write(tmp_path)).cells[0].finals[0]
    assert run.floors["largest class"] == {"accuracy": 0.125}
    assert run.samples is not None
    assert (run.samples.train, run.samples.validation) == (5000, 1000)
    assert (run.samples.test, run.samples.test_of) == (2000, 10_000)
    assert run.samples.test_selection == "stratified"


def refused(root: Path) -> str:
    with pytest.raises(InputError) as error:
        read_results(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_empty_or_missing_folder_is_named(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nothing"):
        assert refused(root).startswith(f"{root}: no results here yet")


def test_runs_without_cells_are_no_results(tmp_path: Path) -> None:
    files = sweep()
    files.cells.clear()
    assert refused(files.write(tmp_path)).startswith(f"{tmp_path}: no results here yet")


@pytest.mark.parametrize(
    "content",
    [b'{"run_id": "ab', b"", b"\xff\xfe", b"[" * 100_000],
    ids=["half", "empty", "binary", "nested"],
)
def test_a_torn_record_is_left_out_and_named(tmp_path: Path, content: bytes) -> None:
    files = sweep()
    run_id = next(iter(files.records))
    path = files.write(tmp_path) / "runs" / run_id / "record.json"
    path.write_bytes(content)
    assert left_out(tmp_path, run_id) == f"{path} is not JSON"


def left_out(root: Path, run_id: str) -> str:
    """Returns the damage of the only run that the report leaves out."""
    results = read_results(root)
    assert run_id not in {run.run_id for run in results.runs}
    (damage,) = results.damaged
    assert any(damage in sentence for sentence in flags(results))
    return damage


@pytest.mark.parametrize("role", ["trial", "final"])
def test_a_run_with_damaged_metrics_is_left_out_and_named(tmp_path: Path, role: str) -> None:
    """Otherwise the report would fail when it draws the curves."""
    files = sweep()
    run = RunFolder(tmp_path, files.run("linear-usps-quick", role, 0)["run_id"])
    files.write(tmp_path)
    run.metrics.write_text(run.metrics.read_text()[:-9])
    assert left_out(tmp_path, run.run_id) == f"{run.metrics} is damaged"


def test_several_processes_find_the_same_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sweep(trials=4, finals=3)
    runs = [
        RunFolder(tmp_path, files.run("linear-usps-quick", "trial", n)["run_id"]) for n in range(4)
    ]
    files.write(tmp_path)
    runs[0].metrics.write_text(runs[0].metrics.read_text()[:-9])
    runs[1].record.write_text(runs[1].record.read_text().replace('"epochs"', '"epoch"', 1))
    runs[2].record.unlink()
    alone = read_results(tmp_path)
    assert len(alone.damaged) == 2
    monkeypatch.setattr("reports.results.FEWEST", 3)
    monkeypatch.setattr("reports.forked._processors", lambda: 3)
    monkeypatch.setattr(RunFolder, "damage", _in(RunFolder.damage, tmp_path / "checks"))
    together = read_results(tmp_path)
    assert (together.damaged, together.key) == (alone.damaged, alone.key)
    assert together.undamaged == alone.undamaged
    assert len({path.name for path in (tmp_path / "checks").iterdir()}) == 3


def _in(check: Callable[..., str | None], folder: Path) -> Callable[..., str | None]:
    """Returns a check of a run that leaves a file per process, and waits for three of them."""
    folder.mkdir()

    def checked(run: RunFolder, *, weights: bool = True) -> str | None:
        (folder / str(os.getpid())).touch()
        until = time.monotonic() + 60
        while len([*folder.iterdir()]) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        return check(run, weights=weights)

    return checked


COST = "costs.seconds: a cost is a number of 0 to 9007199254740992"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": "done"}, "status: Input should be 'complete', 'pruned' or 'failed'"),
        ({"status": None}, "status: Input should be 'complete', 'pruned' or 'failed'"),
        ({"spec": []}, "spec: Input should be an object"),
        ({"spec": {}}, "spec.variant: Field required"),
        ({"epochs": True}, "epochs: Input should be a valid integer"),
        ({"epochs": "3"}, "epochs: Input should be a valid integer"),
        ({"epochs": -1}, "epochs: Input should be greater than or equal to 0"),
        (
            {"metrics": {"test/accuracy": "0.9"}},
            "metrics.test/accuracy: Input should be a valid number",
        ),
        (
            {"metrics": {"test/accuracy": None}},
            "metrics.test/accuracy: Input should be a valid number",
        ),
        ({"absent": {"nll": 1}}, "absent.nll: Input should be a valid string"),
        ({"metrics": {}}, "metrics of a completed final lacks the primary metric on test data"),
        ({"floors": []}, "floors: Input should be an object"),
        ({"floors": {"blank": 1}}, "floors.blank: Input should be an object"),
        ({"floors": {"a.b": {"mse": True}}}, "floors.a.b.mse: Input should be a valid number"),
        ({"samples": 60_000}, "samples: Input should be an object"),
        ({"samples": {}}, "samples.train: Field required"),
        (
            {"samples": WHOLE | {"test_selection": "<b>"}},
            "samples.test_selection: Input should be 'all', 'stratified', 'random' or 'generated'",
        ),
        (
            {"samples": WHOLE | {"test": 2**63}},
            "samples.test: Input should be less than or equal to 9007199254740992",
        ),
        ({"samples": WHOLE | {"train": 0.5}}, "samples.train: Input should be a valid integer"),
        ({"costs": {"seconds": "1"}}, COST),
        ({"costs": {"seconds": -1.0}}, COST),
        ({"costs": {"seconds": 10**400}}, COST),
        ({"costs": {"seconds": math.nan}}, COST),
        ({"provenance": {}}, "provenance.code_version: Field required"),
        ({"x\n\x1b[31m" * 100: 1}, f"{'x  [31m' * 17}…: Extra inputs are not permitted"),
    ],
)
def test_a_record_of_another_shape_is_named(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    files = sweep()
    record = files.run("linear-usps-quick", "final", 0)
    run_id = record["run_id"]
    record |= change
    path = RunFolder(files.write(tmp_path), run_id).record
    sentence = refused(tmp_path)
    assert sentence.startswith(f"{path} is not a record of this version ({why}")
    assert sentence.endswith(
        "): remove the run's folder to re-run the run, or use the version that wrote the record"
    )


def test_a_number_that_no_computer_counts_to_is_left_out(tmp_path: Path) -> None:
    files = sweep()
    run_id = next(iter(files.records))
    path = RunFolder(files.write(tmp_path), run_id).record
    path.write_text(path.read_text().replace('"epochs": 3', f'"epochs": 1{"0" * 5000}'))
    assert left_out(tmp_path, run_id) == f"{path} is not JSON"


def test_a_record_in_the_folder_of_another_run_is_left_out(tmp_path: Path) -> None:
    files = sweep()
    one, two = (RunFolder(tmp_path, run_id) for run_id in [*files.records][:2])
    files.write(tmp_path)
    two.record.write_bytes(one.record.read_bytes())
    assert left_out(tmp_path, two.run_id).startswith(
        f"{two.record} belongs to another run than its folder names (its run_id "
    )


def test_a_record_whose_spec_is_of_another_run_is_left_out(tmp_path: Path) -> None:
    files = sweep()
    run_id = next(iter(files.records))
    path = RunFolder(files.write(tmp_path), run_id).record
    record = json.loads(path.read_text())
    record["spec"]["seed"] += 1
    path.write_text(json.dumps(record))
    assert left_out(tmp_path, run_id).startswith(
        f"{path} belongs to another run than its folder names (its spec "
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"directions": {"accuracy": "up"}}, "directions.accuracy: Input should be 'maximize' or "),
        ({"directions": {"loss": "minimize"}}, "directions lacks the primary metric"),
        ({"trials": None}, "trials: Input should be a valid array"),
        ({"best": 1}, "best: Input should be a valid string"),
        ({"retries": 2**63}, "retries: Input should be less than or equal to 9007199254740992"),
        ({"states": {"complete": -1}}, "states.complete: Input should be greater than or equal"),
        ({"importance": {"lr": "much"}}, "importance.lr: Input should be a valid number"),
        ({"finals": [1]}, "finals.0: Input should be a valid string"),
        *(
            ({"finals": [run_id]}, "finals.0: a run id is 1 to 200 letters, digits or signs")
            for run_id in ("", "..", "../../elsewhere", "nul\0", "x" * 1000)
        ),
    ],
)
def test_a_ledger_of_another_shape_is_named(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    files = sweep()
    files.cells["linear-usps-quick"] |= change
    path = ResultsFolder(files.write(tmp_path)).ledger("linear-usps-quick")
    assert refused(tmp_path).startswith(f"{path} is not a cell's ledger of this version ({why}")


def test_a_ledger_of_another_name_is_named(tmp_path: Path) -> None:
    files = sweep()
    files.cells["linear-usps-quick"]["study"] = "../../escape\n"
    path = ResultsFolder(files.write(tmp_path)).ledger("linear-usps-quick")
    assert refused(tmp_path) == (
        f"{path} is the ledger of another study, ../../escape : rename the file to the study's name"
    )


def test_a_file_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = ResultsFolder(sweep().write(tmp_path)).ledger("linear-usps-quick")
    path.write_text("[]")
    assert refused(tmp_path).startswith(
        f"{path} is not a cell's ledger of this version (Input should"
    )


def test_results_of_an_older_version_are_refused(tmp_path: Path) -> None:
    files = sweep()
    for record in files.records.values():
        del record["samples"], record["floors"]
    files.write(tmp_path)
    assert "is not a record of this version (floors: Field required)" in refused(tmp_path)


@pytest.mark.parametrize(
    ("change", "progress"),
    [
        ({}, "done"),
        ({"finals": []}, "0 of 3 finals"),
        ({"finals": [], "planned": {"trials": 9, "finals": 3}}, "4 of 9 trials"),
        ({"states": {"complete": 1, "pruned": 1, "fail": 1}}, "3 of 4 trials"),
        ({"finals": [], "reason": "no trial completed"}, "failed"),
    ],
)
def test_progress_says_what_is_there_of_what_is_planned(
    tmp_path: Path,
    change: dict[str, Any]
    | dict[str, dict[str, int] | list[Any]]
    | dict[str, dict[str, int]]
    | dict[str, list[Any] | str]
    | dict[str, list[Any]],
    progress: str,
) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.cells["cnn-mnist-quick"] |= change
    assert read_results(files.write(tmp_path)).cells[0].progress == progress


def test_importance_is_read_from_the_ledger(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    assert read_results(files.write(tmp_path)).cells[0].ledger.importance == {}
    cell = files.cells["cnn-mnist-quick"]
    cell["importance"] = {"lr": 0.75, "width": 0.25}
    assert read_results(files.write(tmp_path)).cells[0].ledger.importance == {
        "lr": 0.75,
        "width": 0.25,
    }


def test_a_run_that_was_whole_in_an_earlier_report_is_checked_again_if_a_file_changed(
    tmp_path: Path,
) -> None:
    files = sweep(variants=("linear",), datasets=("mnist",))
    root = files.write(tmp_path)
    build(root)
    assert not read_results(root).damaged
    run = RunFolder(root, next(iter(files.records)))
    run.metrics.write_text(run.metrics.read_text().replace("0.", "0.9", 1))
    assert left_out(root, run.run_id) == f"{run.metrics} is damaged"
