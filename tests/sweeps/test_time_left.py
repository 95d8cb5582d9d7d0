"""Tests that the time left of a sweep is right within a factor of two after a tenth of it.

`durations.csv` has the seconds of all 430 runs of a real sweep of profile quick, and the timed
seconds of each kind of run. The sweep is replayed with a clock of its own.
"""

from __future__ import annotations

import csv
import heapq
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from optuna.trial import TrialState

from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Role
from benchmarks.specs.profiles import ProfileName
from sweeps import sweep_status
from sweeps.cells.cell import Cell
from sweeps.engines import Job
from sweeps.estimates import stored_estimate
from sweeps.estimates.run_times import RunKind
from sweeps.estimates.stored_estimate import read_estimate
from sweeps.estimates.time_left import TimeLeft
from sweeps.estimates.timing_process import TimingProcess
from sweeps.options import Options
from sweeps.stored_options import save_options

START = 0.1
"""Seconds from the submission of a run to its begin."""

STEPS_TIMED = 130.0
"""When the timed steps are known, in seconds."""

EPOCHS = 3

Times = dict[RunKind, float]
"""By kind, the seconds of a run as its timed steps say."""


@dataclass
class FakeCell:
    """Has the runs of a cell: bases, then trials, `lag` of them at once, then finals."""

    variant: str
    dataset: str
    base_variant: str | None = None
    waiting: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By role, seconds and seconds of training of each run that was not begun."""
    under_way: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lag: int = 2

    trials: Any = ()
    finals: Any = field(default_factory=dict)
    bases: Any = field(default_factory=dict)

    @property
    def specs(self) -> Any:
        return SimpleNamespace(
            base_variant=self.base_variant, profile=SimpleNamespace(lag=self.lag)
        )

    @property
    def left_by_role(self) -> dict[str, int]:
        return {role: len(runs) + self.under_way[role] for role, runs in self.waiting.items()}

    def begin(self) -> tuple[str, float, float] | None:
        for role in self.waiting:
            free = self.lag - self.under_way[role] if role == "trial" else 1
            if self.waiting[role] and free > 0:
                self.under_way[role] += 1
                return (role, *self.waiting[role].pop(0))
            if self.left_by_role[role]:
                return None
        return None


def real_cells() -> tuple[list[FakeCell], Times]:
    cells: dict[tuple[str, str], FakeCell] = {}
    timed: Times = {}
    with (Path(__file__).parent / "durations.csv").open() as file:
        for row in csv.DictReader(file):
            cell = cells.setdefault(
                (row["cell"], row["dataset"]), FakeCell(row["cell"], row["dataset"])
            )
            if row["role"] == "base":
                cell.base_variant = row["variant"]
            runs = zip(row["seconds"].split(), row["train_seconds"].split(), strict=True)
            cell.waiting[row["role"]] = [(float(s), float(t)) for s, t in runs]
            role = cast(Role, row["role"])
            timed[row["variant"], row["dataset"], role] = float(row["timed"])
    return list(cells.values()), timed


def replay(
    cells: list[FakeCell], timed: Times, workers: int, moments: int = 3
) -> tuple[float, list[tuple[float, float]]]:
    """Replays a sweep; returns how long it takes, and the estimates as pairs (now, left)."""
    now, number = 0.0, 0
    begun: dict[str, tuple[float, float]] = {}

    def finished_epochs(run_id: str) -> int:
        start, seconds = begun.get(run_id, (now, 1.0))
        return int(max(0.0, now - start) / seconds * EPOCHS)

    left = TimeLeft(cast(list[Cell], cells), finished_epochs, lambda: now)
    estimates: list[tuple[float, float]] = []
    under_way: list[tuple[float, int, FakeCell, Any, Any]] = []

    def begin_runs() -> None:
        nonlocal number
        for cell in cells:
            while len(under_way) < workers and (run := cell.begin()) is not None:
                role, seconds, training = run
                number += 1
                variant = cell.base_variant if role == "base" else cell.variant
                spec = SimpleNamespace(
                    run_id=str(number),
                    variant=variant,
                    dataset=cell.dataset,
                    role=role,
                    budget=SimpleNamespace(epochs=EPOCHS),
                )
                record = SimpleNamespace(
                    status="complete", costs={"seconds": seconds, "train_seconds": training}
                )
                job = SimpleNamespace(spec=spec)
                left.begin(cast(Job, job))
                begun[spec.run_id] = now + START, seconds
                heapq.heappush(under_way, (now + START + seconds, number, cell, job, record))

    begin_runs()
    while under_way:
        begin, end = now, under_way[0][0]
        for place in range(moments):
            now = begin + (end - begin) * place / moments
            if now >= STEPS_TIMED:
                left.timed.update(cast(Any, timed))
            estimates.append((now, left.seconds(workers)))
        now, _, cell, job, record = heapq.heappop(under_way)
        left.end(cast(Job, job), cast(RunRecord, record))
        cell.under_way[job.spec.role] -= 1
        begin_runs()
    return now, estimates


SLACK = 5.0
"""Seconds by which an estimate may differ however little time is left."""


def outside(whole: float, estimates: list[tuple[float, float]], begin: float) -> list[str]:
    """Lists the estimates that are not within a factor of two of the truth."""
    wrong = []
    for now, left in estimates:
        true = whole - now
        if begin <= now < whole and not (true / 2 - SLACK <= left <= 2 * true + SLACK):
            wrong.append(f"after {now:.0f} of {whole:.0f} s: {left:.1f} for {true:.1f}")
    return wrong


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_a_real_sweep(workers: int) -> None:
    cells, timed = real_cells()
    whole, estimates = replay(cells, timed, workers)
    begin = max(whole / 10, STEPS_TIMED)
    assert sum(now >= begin for now, _ in estimates) > 200
    assert not outside(whole, estimates, begin)


def test_a_machine_that_is_not_the_one_of_the_timed_steps() -> None:
    """On a GPU, or a faster node of a cluster, runs take a fraction of the timed seconds."""
    cells, timed = real_cells()
    slow = {kind: 30 * seconds for kind, seconds in timed.items()}
    whole, estimates = replay(cells, slow, 2)
    assert not outside(whole, estimates, max(whole / 10, STEPS_TIMED))


def test_long_runs_count_from_their_first_epoch() -> None:
    """Of a long run, the finished epochs say how long it takes, whatever the timed steps say."""
    cell = FakeCell("cnn", "svhn", waiting={"final": [(30_000.0, 29_000.0)] * 3})
    whole, estimates = replay([cell], {("cnn", "svhn", "final"): 100.0}, 3, moments=50)
    later = [(now, left) for now, left in estimates if now >= 1.1 * whole / EPOCHS]
    assert len(later) > 30
    assert not outside(whole, later, 0)


def test_the_estimate_is_unknown_before_anything_is_known_of_a_cell() -> None:
    cells, timed = real_cells()
    _, estimates = replay(cells, timed, 2)
    assert all(math.isinf(left) == (now < STEPS_TIMED) for now, left in estimates)


def test_a_rough_estimate_counts_unknown_runs_as_the_mean_of_all() -> None:
    """The report's process is prepared by it, also at the end of a sweep of a few seconds."""
    known = FakeCell("cnn", "svhn", waiting={"final": [(7.0, 6.0)] * 2})
    known.trials = (
        SimpleNamespace(user_attrs={"run_ids": ["a"], "seconds": 8.0}, state=TrialState.COMPLETE),
    )
    unknown = FakeCell("vit", "svhn", waiting={"final": [(1.0, 1.0)]})
    left = TimeLeft(cast(list[Cell], [known, unknown]), lambda _: 0)
    assert left.seconds(1) == math.inf
    assert left.seconds(1, rough=True) == pytest.approx(3 * 8.0)
    assert TimeLeft(cast(list[Cell], [unknown]), lambda _: 0).seconds(1, rough=True) == math.inf


def test_runs_of_an_earlier_process_count() -> None:
    cell = FakeCell("cnn", "svhn", waiting={"final": [(7.0, 6.0)] * 4})
    notes = {"run_ids": ["a", "b"], "seconds": 12.0}
    cell.trials = (SimpleNamespace(user_attrs=notes, state=TrialState.COMPLETE),)
    left = TimeLeft(cast(list[Cell], [cell]), lambda _: 0)
    assert not left.unknown()
    assert left.seconds(1) == pytest.approx(4 * 6.0)
    assert left.seconds(4) == pytest.approx(6.0)
    cell.trials = ()
    assert TimeLeft(cast(list[Cell], [cell]), lambda _: 0).unknown() == [cell]


def test_steps_are_timed_in_a_process_that_writes_nothing(tmp_path: Path) -> None:
    choice = Options(data=Path("no-such-folder"), profile=ProfileName.smoke, only=("ocae/usps",))
    save_options(choice, tmp_path)
    timed: Times = {}
    process = TimingProcess(tmp_path, timed)
    process.stop()  # a short sweep has not started it
    process.start([("ocae", "usps")])
    process.join()
    process.stop()
    kinds = [("ocae", "usps", "trial"), ("ocae", "usps", "final"), ("pcae", "usps", "base")]
    assert list(timed) == kinds
    assert all(seconds > 0 for seconds in timed.values())
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_the_status_reads_the_drivers_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_estimate(tmp_path) is None
    now = 1000.0
    monkeypatch.setattr(stored_estimate.time, "time", lambda: now)
    stored_estimate.store_estimate(tmp_path, 90.0)
    now += 60
    assert read_estimate(tmp_path) == 30
    assert sweep_status._left(tmp_path, 5) == "about 30 s"
    now += 60
    assert read_estimate(tmp_path) == 0
    now += 600  # its driver was killed
    assert read_estimate(tmp_path) is None
    stored_estimate.store_estimate(tmp_path / "no folder" / "x", 1.0)  # must stop no sweep
    stored_estimate.forget_estimate(tmp_path)
    assert not list(tmp_path.glob(".time*"))
