"""What a driver does where workers die or the disk is full."""

from __future__ import annotations

import errno
import json
import os
import signal
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks import interrupts
from benchmarks.cli import main
from benchmarks.profiles import ProfileName
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import RunRecord
from benchmarks.runs import run
from benchmarks.runs.checkpoints import Checkpoints
from sweeps import deadlines, engines, watchdog
from sweeps.engines import Inline, Job, WorkerContext
from sweeps.options import EngineName, Options, finished
from sweeps.sweep import sweep
from sweeps.sweep_status import show_status
from tests.reports.results_folder import ledger

CHOICE = Options(
    profile=ProfileName.smoke,
    data=Path("no-such-folder"),
    only=("linear/usps",),
    engine=EngineName.inline,
    workers=1,
    trials=3,
    offline=True,
)


class Fragile(Inline):
    """An engine whose n-th run finds its worker dead so many times; every other time it had hung,
    but for the last time.
    """

    def __init__(self, deaths: dict[int, int]) -> None:
        self._deaths = deaths
        self.runs: list[str] = []

    def begin(self, job: Job, site: WorkerContext) -> Future[RunRecord]:
        if job.spec.run_id not in self.runs:
            self.runs.append(job.spec.run_id)
        place = self.runs.index(job.spec.run_id)
        if self._deaths.get(place, 0) == 0:
            return super().begin(job, site)
        self._deaths[place] -= 1
        where = watchdog.place(site.results, job.spec.run_id)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text("line 1 in stuck" * (self._deaths[place] % 2))
        future: Future[RunRecord] = Future()
        future.set_exception(BrokenExecutor("it died"))
        return future


def test_retries_are_counted_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Fragile({0: 4, 1: 1, 2: 3})
    monkeypatch.setattr(engines, "start", lambda *_, **__: engine)
    sweep(CHOICE, tmp_path)
    sweep(CHOICE, tmp_path)  # what was counted stays
    cell = json.loads((tmp_path / "cells" / "linear-usps-smoke.json").read_bytes())
    assert cell["states"] == {"complete": 1, "pruned": 0, "fail": 2}
    assert cell["retries"] == 2 + 1 + 2
    hung, completed, killed = (RunFolder(tmp_path, run_id).read() for run_id in engine.runs[:3])
    assert (hung.status, hung.step, hung.traceback) == ("failed", 0, "line 1 in stuck")
    assert hung.reason == "its worker died 3 times, at last as no epoch ended within 12 h"
    assert completed.status == "complete"
    assert (killed.status, killed.step, killed.traceback) == ("failed", 0, None)
    assert killed.reason.startswith("its worker died 3 times (out of memory, killed, or")
    assert capsys.readouterr().err.count("begun again") == 5
    show_status(tmp_path)
    heading, row = capsys.readouterr().out.splitlines()[:2]
    assert row[heading.index("retries")] == "5"


def test_a_full_disk_is_one_sentence_and_the_sweep_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "full"
    fsync = os.fsync

    def full(descriptor: int) -> None:
        """No place for a second record."""
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
    sweep(CHOICE, tmp_path / "undisturbed")
    assert digests(results) == digests(tmp_path / "undisturbed")


def digests(results: Path) -> dict[str, str]:
    """Of every record, by its run's id."""
    records = (json.loads(path.read_bytes()) for path in results.glob("runs/*/record.json"))
    return {record["run_id"]: record["digest"] for record in records}


def test_a_sweep_is_finished_when_its_options_are_the_last_and_no_run_is_left(
    tmp_path: Path,
) -> None:
    assert not finished(CHOICE, tmp_path)
    CHOICE.save(tmp_path)
    for left, expected in ((1, False), (0, True)):
        cell = ledger("linear", "usps", "smoke", left=left)
        CellLedger.model_validate(cell).write(ResultsFolder(tmp_path).ledger(cell["study"]))
        assert finished(CHOICE, tmp_path) == expected
    assert not finished(CHOICE.grown(trials=1, seeds=0, only=()), tmp_path)
    ResultsFolder(tmp_path).ledger("linear-usps-smoke").write_text("{}")
    assert not finished(CHOICE, tmp_path)


class Endless(Inline):
    """An engine whose runs do not end; it notes how it is ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def begin(self, job: Job, site: WorkerContext) -> Future[RunRecord]:
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
    monkeypatch.setattr(engines, "start", lambda *_, **__: engine)

    def interrupted(*_: object, **__: object) -> tuple[set[object], set[object]]:
        for number in signals:
            signal.raise_signal(number)
        return set(), set()

    monkeypatch.setattr("sweeps.sweep.wait", interrupted)
    with pytest.raises(raised):
        sweep(CHOICE, tmp_path)
    assert engine.ended == ended


class Silent(Inline):
    """An engine whose runs show no sign of life until they are abandoned, but for the last ones."""

    def __init__(self, silent: int) -> None:
        self.silent, self.waiting = silent, list[Future[RunRecord]]()

    def begin(self, job: Job, site: WorkerContext) -> Future[RunRecord]:
        self.silent -= 1
        if self.silent < 0:
            return super().begin(job, site)
        self.waiting.append(Future())
        return self.waiting[-1]

    def abandon(self, future: Future[RunRecord]) -> None:
        assert future in self.waiting
        future.set_exception(BrokenExecutor("it was stopped"))


def test_a_worker_that_shows_no_sign_of_life_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped process cannot keep a limit of its own: the driver waited without end."""
    engine = Silent(2)
    monkeypatch.setattr(engines, "start", lambda *_, **__: engine)
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(CHOICE, tmp_path / "undisturbed")
    first = next(iter(digests(tmp_path / "undisturbed")))
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
    assert digests(tmp_path).items() >= digests(tmp_path / "undisturbed").items()


def test_an_error_that_nobody_expects_costs_its_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(Inline):
        """Its first run ends with a fault of this code."""

        runs = 0

        def begin(self, job: Job, site: WorkerContext) -> Future[RunRecord]:
            self.runs += 1
            if self.runs > 1:
                return super().begin(job, site)
            future: Future[RunRecord] = Future()
            future.set_exception(KeyError("no such thing"))
            return future

    monkeypatch.setattr(engines, "start", lambda *_, **__: Faulty())
    (cell,) = sweep(CHOICE, tmp_path)
    assert cell.done
    records = [RunFolder(tmp_path, run_id).read() for run_id in digests(tmp_path)]
    (record,) = [record for record in records if record.status == "failed"]
    assert record.reason == "KeyError: 'no such thing'"
    assert "Traceback" in record.traceback or "KeyError" in record.traceback


def test_a_run_that_comes_further_each_time_is_begun_as_often_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run on short Slurm jobs, for instance: its deaths are no fault of its own."""
    engine = Fragile({0: 5})
    steps = iter((0, 0, 10, 20, 30))
    monkeypatch.setattr(engines, "start", lambda *_, **__: engine)
    monkeypatch.setattr(Checkpoints, "step", lambda _: next(steps))
    (cell,) = sweep(CHOICE, tmp_path)
    assert cell.done
    assert {RunFolder(tmp_path, run_id).read().status for run_id in engine.runs} == {"complete"}
