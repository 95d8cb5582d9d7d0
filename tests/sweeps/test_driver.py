"""Tests the driver when workers die or the disk is full."""

from __future__ import annotations

import bz2
import errno
import json
import os
import shutil
import signal
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from benchmarks import interrupts
from benchmarks.commands.cli import main
from benchmarks.provenance import code_version, provenance
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import RunRecord
from benchmarks.runs import recording, run
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.run import give_up
from benchmarks.specs.profiles import ProfileName
from benchmarks.wandb_options import WandbOptions
from reports.flags import flags
from reports.results import read_results
from sweeps import deadlines, engines, watchdog
from sweeps.__main__ import app
from sweeps.engines import Inline, Job, WorkerContext
from sweeps.options import Addition, EngineName, Options
from sweeps.stored_options import is_finished, load_options, save_options
from sweeps.sweep import sweep
from sweeps.sweep_status import show_status
from tests.narrowing import present
from tests.reports.results_folder import ledger
from tests.sweeps.command_lines import NoReport

CHOICE = Options(
    profile=ProfileName.smoke,
    data=Path("no-such-folder"),
    only=("linear/usps",),
    engine=EngineName.inline,
    workers=1,
    trials=3,
    offline=True,
    log=WandbOptions(off=True),
)
"""A sweep of seconds; no test of a driver looks at Weights & Biases."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes the sweep of `CHOICE` once; `results` copies it for tests that change its files."""
    folder = tmp_path_factory.mktemp("finished")
    sweep(CHOICE, folder)
    return folder


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "results")


class Fragile(Inline):
    """Is an engine whose n-th run dies with its worker a given number of times.

    Every second time the worker hangs instead, but not the last time.
    """

    def __init__(self, deaths: dict[int, int]) -> None:
        self._deaths = deaths
        self.runs: list[str] = []

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        if job.spec.run_id not in self.runs:
            self.runs.append(job.spec.run_id)
        place = self.runs.index(job.spec.run_id)
        if self._deaths.get(place, 0) == 0:
            return super().begin(job, context)
        self._deaths[place] -= 1
        where = watchdog.hang_file(context.results, job.spec.run_id)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text("line 1 in stuck" * (self._deaths[place] % 2))
        future: Future[RunRecord] = Future()
        future.set_exception(BrokenExecutor("it died"))
        return future


def test_retries_are_counted_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Fragile({0: 4, 1: 1, 2: 3})
    monkeypatch.setattr(engines, "start_engine", lambda *_, **__: engine)
    sweep(CHOICE, tmp_path)
    sweep(CHOICE, tmp_path)  # what was counted stays
    cell = json.loads((tmp_path / "cells" / "linear-usps-smoke.json").read_bytes())
    assert cell["states"] == {"complete": 1, "pruned": 0, "fail": 2}
    assert cell["retries"] == 2 + 1 + 2
    runs = [RunFolder(tmp_path, run_id) for run_id in engine.runs[:3]]
    hung, completed, killed = (present(run.read()) for run in runs)
    assert (hung.status, hung.step, hung.traceback) == ("failed", 0, "line 1 in stuck")
    assert hung.reason == "its worker died 3 times, at last as no epoch ended within 12 h"
    assert completed.status == "complete"
    assert (killed.status, killed.step, killed.traceback) == ("failed", 0, None)
    assert present(killed.reason).startswith("its worker died 3 times (out of memory, killed, or")
    assert capsys.readouterr().err.count("begun again") == 5
    show_status(tmp_path)
    heading, row = capsys.readouterr().out.splitlines()[:2]
    assert row[heading.index("retries")] == "5"


def test_a_full_disk_is_one_sentence_and_the_sweep_resumes_from_there(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "full"
    fsync = os.fsync

    def full(descriptor: int) -> None:
        """Fails at the second record, as a full disk does."""
        record = ".record.json" in os.readlink(f"/proc/self/fd/{descriptor}")
        if record and digests(results):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(SystemExit) as left:
            main(lambda: sweep(CHOICE, results))
    assert left.value.code == 2
    assert "record.json: No space left on device; finished work is kept" in capsys.readouterr().err
    assert len(digests(results)) == 1
    assert not list(results.rglob(".record.json*"))
    sweep(CHOICE, results)
    assert digests(results) == digests(finished)


def digests(results: Path) -> dict[str, str]:
    """Returns the digest of every record, by run id."""
    records = (json.loads(path.read_bytes()) for path in results.glob("runs/*/record.json"))
    return {record["run_id"]: record["digest"] for record in records}


def test_a_sweep_is_finished_when_its_options_are_the_last_and_no_run_is_left(
    tmp_path: Path,
) -> None:
    assert not is_finished(CHOICE, tmp_path)
    save_options(CHOICE, tmp_path)
    for left, expected in ((1, False), (0, True)):
        cell = ledger("linear", "usps", "smoke", left=left)
        CellLedger.model_validate(cell).write(ResultsFolder(tmp_path).ledger(cell["study"]))
        assert is_finished(CHOICE, tmp_path) == expected
    assert not is_finished(CHOICE.model_copy(update={"trials": 4}), tmp_path)
    ResultsFolder(tmp_path).ledger("linear-usps-smoke").write_text("{}")
    assert not is_finished(CHOICE, tmp_path)


class Endless(Inline):
    """Is an engine whose runs do not end; it notes how it is shut down."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        return Future()

    def kill(self) -> None:
        self.ended.append("killed")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.ended.append("asked")


@pytest.mark.parametrize(
    ("signals", "ended", "raised"),
    [
        ([signal.SIGINT], ["asked"], interrupts.Interrupted),
        ([signal.SIGINT, signal.SIGINT], ["killed"], KeyboardInterrupt),
        ([signal.SIGTERM], ["asked"], interrupts.Interrupted),
        ([signal.SIGTERM, signal.SIGINT], ["killed"], KeyboardInterrupt),
    ],
)
def test_a_second_ctrl_c_waits_for_no_worker(
    signals: list[signal.Signals],
    ended: list[str],
    raised: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Endless()
    monkeypatch.setattr(engines, "start_engine", lambda *_, **__: engine)

    def interrupted(*_: object, **__: object) -> tuple[set[object], set[object]]:
        for number in signals:
            signal.raise_signal(number)
        return set(), set()

    monkeypatch.setattr("sweeps.driver.wait", interrupted)
    with pytest.raises(raised):
        sweep(CHOICE, tmp_path)
    assert engine.ended == ended


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Calls a command of sweeps without a report. Returns its exit code."""
    monkeypatch.setattr("sweeps.__main__.ReportProcess", NoReport)
    with pytest.raises(SystemExit) as left:
        app([*arguments], standalone_mode=False)
    return int(left.value.code or 0)


def planned(results: Path) -> dict[str, int]:
    return json.loads((results / "cells" / "linear-usps-smoke.json").read_bytes())["planned"]


def test_an_addition_counts_from_the_plan_exactly_once_also_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan is of 4 trials, although the last command line asked for 3."""
    sweep(CHOICE.model_copy(update={"trials": 4, "finals": 1}), tmp_path)
    sweep(CHOICE.model_copy(update={"finals": 1}), tmp_path)
    more = Addition(trials=1, finals=1)
    with monkeypatch.context() as patched:
        patched.setattr(engines, "start_engine", lambda *_, **__: Leaving())
        with pytest.raises(interrupts.Interrupted):
            sweep(load_options(tmp_path), tmp_path, adding=more)
    assert planned(tmp_path) == {"trials": 5, "finals": 2}
    assert load_options(tmp_path).adding == more
    add = ["add", "--trials", "1", "--finals", "1", "--results", str(tmp_path)]
    for expected in (5, 6):  # the first call goes on with the addition, the second adds again
        assert call(monkeypatch, *add) == 0
        assert planned(tmp_path) == {"trials": expected, "finals": expected - 3}
        assert load_options(tmp_path).adding is None


@pytest.mark.parametrize("ledger_written", [False, True])
def test_an_addition_that_a_crash_cut_off_is_neither_lost_nor_doubled(
    ledger_written: bool, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver may be killed anywhere between writing the options and writing the ledgers."""
    place = "_announce" if ledger_written else "Cell.write_ledger"
    with monkeypatch.context() as patched:
        patched.setattr(f"sweeps.sweep.{place}", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(load_options(results), results, adding=Addition(trials=1))
    sweep(CHOICE, results)  # whichever command comes next
    assert planned(results)["trials"] == 4


def killed(*_: object) -> None:
    raise KeyboardInterrupt


class Leaving(Inline):
    """Is an engine that is asked to leave when it gets its first run."""

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        interrupts.request_stop()
        return Future()


def fail(results: Path, number: int, reason: str) -> str:
    """Replaces a record of a finished sweep by a failed one, as a driver writes it, and resumes
    the sweep.
    """
    run_id = cell_of(results)["trials"][number]
    spec = present(RunFolder(results, run_id).read()).spec
    give_up(spec, results=results, study="linear-usps-smoke", reason=reason)
    sweep(load_options(results), results)
    return run_id


def cell_of(results: Path) -> dict[str, Any]:
    cell: dict[str, Any] = json.loads((results / "cells" / "linear-usps-smoke.json").read_bytes())
    return cell


def test_retry_re_runs_failed_runs_by_reason_and_the_study_follows(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = cell_of(results)
    run_id = fail(results, 0, "OutOfMemory: the memory does not suffice for this run")
    assert cell_of(results)["states"]["fail"] == 1
    for wrong in (["--reason", "its worker died"], ["--only", "cnn/usps"], ["--only", "lin"]):
        with pytest.raises(InputError):
            app(["retry", str(results), *wrong], standalone_mode=False)
    assert cell_of(results)["states"]["fail"] == 1
    capsys.readouterr()
    assert call(monkeypatch, "retry", str(results), "--reason", "outofmemory") == 0
    assert f"run {run_id} is re-run (failed: OutOfMemory" in capsys.readouterr().err
    assert cell_of(results) == undisturbed
    old = json.loads((RunFolder(results, run_id).path / "failed-1.json").read_bytes())
    assert (old["run_id"], old["status"]) == (run_id, "failed")


def test_retry_re_runs_failed_finals_and_runs_of_no_sweep(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = present(RunFolder(results, cell_of(results)["finals"][1]).read())
    single = final.spec.model_copy(update={"seed": 1})
    for place, specs in ((results, [final.spec, single]), (tmp_path / "none", [single])):
        for spec in specs:
            give_up(spec, results=place, study=None, reason="its worker died 3 times")
        assert call(monkeypatch, "retry", "--offline", "--results", str(place)) == 0
        runs = [RunFolder(place, spec.run_id) for spec in specs]
        assert [present(run.read()).status for run in runs] == ["complete"] * len(runs)
        assert all((run.path / "failed-1.json").exists() for run in runs)
    assert present(RunFolder(results, final.run_id).read()).digest == final.digest


def test_retry_of_a_run_whose_data_is_not_there_leaves_its_record(
    finished: Path, tmp_path: Path
) -> None:
    spec = present(RunFolder(finished, cell_of(finished)["finals"][0]).read()).spec
    record = give_up(
        spec.model_copy(update={"data_sha256": "0" * 64}),
        results=tmp_path,
        study=None,
        reason="its worker died 3 times",
    )
    with pytest.raises(InputError, match="was specified with other data"):
        app(["retry", "--offline", str(tmp_path)], standalone_mode=False)
    assert RunFolder(tmp_path, record.run_id).read() == record


def test_retry_leaves_runs_of_cells_that_the_sweep_does_not_cover(results: Path) -> None:
    """Nothing would re-run them after their records are set aside."""
    run_id = fail(results, 0, "its worker died 3 times")
    save_options(CHOICE.model_copy(update={"only": ("cnn/usps",)}), results)
    with pytest.raises(InputError, match="nothing to retry"):
        app(["retry", "--results", str(results)], standalone_mode=False)
    assert present(RunFolder(results, run_id).read()).status == "failed"


def test_a_sweep_keeps_runs_of_other_code_says_so_and_re_runs_them_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    older = provenance().model_copy(update={"code_version": "older"})
    with monkeypatch.context() as patched:
        patched.setattr(recording, "provenance", lambda: older)
        sweep(CHOICE, tmp_path)
    capsys.readouterr()
    before = digests(tmp_path)
    sweep(CHOICE, tmp_path)
    printed = " ".join(capsys.readouterr().err.split())
    assert f"{len(before)} runs were made under other conditions (code_version was older" in printed
    assert call(monkeypatch, "retry", "--other-code", "--results", str(tmp_path)) == 0
    assert digests(tmp_path) == before
    records = [present(RunFolder(tmp_path, run_id).read()) for run_id in before]
    assert {record.provenance.code_version for record in records} == {code_version()}


def test_a_sweep_whose_data_is_not_there_says_data_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stand-in is used, whether the folder is missing or empty."""
    results, data = tmp_path / "results", tmp_path / "data"
    write_usps(data)
    choice = CHOICE.model_copy(update={"data": data})
    sweep(choice, results)
    runs = digests(results)
    data.rename(tmp_path / "moved")
    for more in (["resume"], ["add", "--trials", "1"], ["retry", "--reason", ""]):
        with pytest.raises(InputError, match=r"does not exist, .* with --data|^nothing"):
            app([*more, "--results", str(results)], standalone_mode=False)
    empty = tmp_path / "not mounted"
    empty.mkdir()
    (results / "studies.db").unlink()
    with pytest.raises(InputError, match=r"was partial, now stand-in\): name the folder of its"):
        app(["resume", "--data", str(empty), "--results", str(results)], standalone_mode=False)
    assert digests(results) == runs
    place = ["--data", str(tmp_path / "moved"), "--results", str(results)]
    assert call(monkeypatch, "add", "--trials", "1", *place) == 0
    assert len(digests(results)) > len(runs)


def write_usps(data: Path) -> None:
    """Writes a small USPS in the format of its source."""
    (data / "USPS").mkdir(parents=True)
    for name, count in (("usps.bz2", 300), ("usps.t.bz2", 100)):
        values = " ".join(f"{place}:0.5" for place in range(2, 257))
        rows = "".join(f"{i % 10 + 1} 1:{i / 300} {values}\n" for i in range(count))
        (data / "USPS" / name).write_bytes(bz2.compress(rows.encode()))


@pytest.mark.parametrize("role", ["trials", "finals"])
def test_a_run_with_another_runs_files_is_re_run(
    role: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This also holds if the study is lost, so that only the record could say what the run was."""
    before, cell = digests(results), cell_of(results)
    one, other = (RunFolder(results, run_id).path for run_id in cell[role][:2])
    shutil.rmtree(one)
    shutil.copytree(other, one)
    (results / "studies.db").unlink()
    sweep(CHOICE, results)
    assert "belongs to another run than its folder names" in capsys.readouterr().err
    assert (digests(results), cell_of(results)) == (before, cell)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"run_id": "x', b"[1]"])
@pytest.mark.parametrize("role", ["trials", "finals"])
def test_a_damaged_record_stops_neither_sweep_nor_report(
    role: str, content: bytes, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, cell = digests(results), cell_of(results)
    run = RunFolder(results, cell[role][0])
    run.record.write_bytes(content)
    shown = read_results(results)
    assert len(shown.runs) == len(before) - 1
    assert "1 damaged runs are left out" in " ".join(flags(shown))
    capsys.readouterr()
    sweep(CHOICE, results)
    assert "the run is re-run, and the old record is kept as" in capsys.readouterr().err
    assert (digests(results), cell_of(results)) == (before, cell)
    assert not read_results(results).damaged


class Silent(Inline):
    """Is an engine whose runs, except the last ones, show no sign of life until they are
    abandoned.
    """

    def __init__(self, silent: int) -> None:
        self.silent, self.waiting = silent, list[Future[RunRecord]]()

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        self.silent -= 1
        if self.silent < 0:
            return super().begin(job, context)
        self.waiting.append(Future())
        return self.waiting[-1]

    def abandon(self, future: Future[RunRecord]) -> None:
        assert future in self.waiting
        future.set_exception(BrokenExecutor("it was stopped"))


def test_a_worker_that_shows_no_sign_of_life_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped process cannot end itself, and the driver waited for it for ever."""
    engine = Silent(2)
    monkeypatch.setattr(engines, "start_engine", lambda *_, **__: engine)
    monkeypatch.setattr(deadlines, "MARGIN", -10.0)
    choice = CHOICE.model_copy(update={"engine": EngineName.processes, "epoch_hours": 1e-3})
    (cell,) = sweep(choice, tmp_path)
    assert cell.done
    assert len(engine.waiting) == 2
    assert capsys.readouterr().err.count("begun again") == 2


def test_a_limit_counts_from_the_last_epoch_that_the_results_show(tmp_path: Path) -> None:
    metrics = RunFolder(tmp_path, "run").metrics
    metrics.parent.mkdir(parents=True)
    limits = deadlines.Deadlines(tmp_path, -deadlines.MARGIN)  # no time at all
    limits.begin("run")
    assert limits.overdue(remote=False) == {"run"}
    assert limits.overdue(remote=True) == set()  # its worker may not see the results folder
    (metrics.parent / deadlines.HUNG).touch()
    assert limits.overdue(remote=True) == {"run"}
    metrics.write_text("{}\n")
    assert limits.overdue(remote=True) == set()
    limits.end("run")
    assert limits.overdue(remote=False) == set()


def test_a_run_that_another_process_holds_costs_its_cell_alone(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = next(iter(digests(finished)))
    two = CHOICE.model_copy(update={"only": ("linear/usps", "linear/mnist")})
    monkeypatch.setattr(run, "LOCK_SECONDS", 0.1)
    home = RunFolder(tmp_path, first).path
    home.mkdir(parents=True)
    (home / run.LOCK).write_text("process 4711 on another")
    with FileLock(home / run.LOCK):
        other, held = sweep(two, tmp_path)
    assert not held.done
    assert f"{first} is being made by another process (process 4711 on another)" in str(held.held)
    assert other.done
    assert "left out linear-usps-smoke: run" in capsys.readouterr().err
    _, held = sweep(two, tmp_path)
    assert held.done
    assert digests(tmp_path).items() >= digests(finished).items()


def test_an_error_that_nobody_expects_costs_its_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(Inline):
        """Ends its first run with an error that nobody expects."""

        runs = 0

        def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
            self.runs += 1
            if self.runs > 1:
                return super().begin(job, context)
            future: Future[RunRecord] = Future()
            future.set_exception(KeyError("no such thing"))
            return future

    monkeypatch.setattr(engines, "start_engine", lambda *_, **__: Faulty())
    (cell,) = sweep(CHOICE, tmp_path)
    assert cell.done
    records = [present(RunFolder(tmp_path, run_id).read()) for run_id in digests(tmp_path)]
    (record,) = [record for record in records if record.status == "failed"]
    assert record.reason == "KeyError: 'no such thing'"
    trace = present(record.traceback)
    assert "Traceback" in trace or "KeyError" in trace


def test_a_run_that_progresses_each_time_is_restarted_without_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For instance a long run on short Slurm jobs: it is not the reason that its workers die."""
    engine = Fragile({0: 5})
    steps = iter((0, 0, 10, 20, 30))
    monkeypatch.setattr(engines, "start_engine", lambda *_, **__: engine)
    monkeypatch.setattr(Checkpoints, "step", lambda _: next(steps))
    (cell,) = sweep(CHOICE, tmp_path)
    assert cell.done
    assert {present(RunFolder(tmp_path, run_id).read()).status for run_id in engine.runs} == {
        "complete"
    }
