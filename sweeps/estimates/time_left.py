"""Estimates how long the rest of a sweep takes. No record depends on the estimate."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from optuna.trial import TrialState

from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Role
from sweeps.cells.cell import Cell
from sweeps.engines import Job
from sweeps.estimates.run_times import RunKind

ROLES: tuple[Role, ...] = ("base", "trial", "final")
"""The roles in the order in which a cell makes its runs."""

PRIOR_SECONDS = 5.0
"""Runs are taken to be as long as their timed steps say, until the ended runs together are longer
than about this."""

FIXED_SECONDS = 0.5
"""Seconds that a run takes beside its training, before any run has ended."""

RECENT = 200
"""The number of last runs whose fixed costs count."""

LEAST_SHARE = 0.01
"""A run that takes longer than expected is taken to have this share of its time left."""


@dataclass
class _Running:
    """Holds a run that a worker computes."""

    kind: RunKind
    epochs: int
    begun: float
    epochs_before: int
    """The number of epochs that the run had when it was given to the worker."""
    epochs_done: int
    epoch_ended: float
    """When the last of these epochs was seen to have ended."""


class _Sums:
    """Sums the seconds of runs by kind."""

    def __init__(self) -> None:
        self.seconds: dict[RunKind, float] = {}
        self.runs: Counter[RunKind] = Counter()

    def add(self, kind: RunKind, seconds: float) -> None:
        self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds
        self.runs[kind] += 1

    def mean_of_all(self) -> float | None:
        runs = self.runs.total()
        return sum(self.seconds.values()) / runs if runs else None

    def mean(self, kind: RunKind) -> float | None:
        return self.seconds[kind] / self.runs[kind] if self.runs[kind] else None


class _Expectation:
    """Says how long runs are expected to take, from what is known at one moment.

    Args:
        ended: sums of all ended runs.
        complete: sums of the complete runs alone.
        running: seconds of a run by kind, from the finished epochs of running runs.
        timed: seconds of a run by kind, as timed steps say.
        beside: seconds of a run beside its training.
    """

    def __init__(
        self,
        ended: _Sums,
        complete: _Sums,
        running: Mapping[RunKind, float],
        timed: Mapping[RunKind, float],
        beside: float = FIXED_SECONDS,
    ) -> None:
        self._ended, self._complete, self._running = ended, complete, running
        self._timed, self._beside = timed, beside

    def seconds(self, kind: RunKind) -> float | None:
        """Returns the expected seconds of a run; None if nothing is known of its kind."""
        measured, timed = self._measured(kind), self._timed.get(kind)
        if measured is not None or timed is None:
            return measured
        return self._beside + timed * self._ratio

    def _measured(self, kind: RunKind) -> float | None:
        """Returns the expected seconds of a run from measured ones; None if there are none."""
        if (mean := self._ended.mean(kind)) is not None:
            return mean
        roles = [(*kind[:2], role) for role in ROLES]
        for other in roles:
            if (mean := self._complete.mean(other)) is not None:
                return mean * self._relative_length(kind, other)
        for other in (kind, *roles):
            if other in self._running:
                return self._running[other] * self._relative_length(kind, other)
        return None

    def _relative_length(self, kind: RunKind, other: RunKind) -> float:
        """Returns how much longer one kind of run is than another, as timed steps say; else 1."""
        timed, known = self._timed.get(kind), self._timed.get(other)
        return timed / known if timed and known else 1.0

    @cached_property
    def _ratio(self) -> float:
        """Returns the mean ratio of measured to timed seconds, without the fixed costs of runs."""
        measured = timed = PRIOR_SECONDS
        for kind, seconds in self._timed.items():
            runs = self._complete.runs[kind]
            mean = self._complete.mean(kind) if runs else self._running.get(kind)
            if mean is not None:
                measured += max(1, runs) * max(0.0, mean - self._beside)
                timed += max(1, runs) * seconds
        return measured / timed


class TimeLeft:
    """Estimates the time left of a sweep.

    A run is expected to take as long as the mean of the ended runs of its kind, which is its
    variant, dataset and role. If none has ended, complete runs of another role count; else the
    finished epochs of the running runs; else the timed steps of the kind, times the mean ratio of
    measured to timed seconds of all kinds, plus the fixed costs of a run.

    The time left is the sum of all runs divided by the number of workers; at least the time of the
    longest cell, whose finals wait for its trials.

    Args:
        cells: the cells of the sweep. Runs that ended in an earlier process count too.
        finished_epochs: returns the number of finished epochs of a running run from its id.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        finished_epochs: Callable[[str], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timed: dict[RunKind, float] = {}
        """By kind, the seconds of a run as its timed steps say; filled while the sweep runs."""
        self._cells, self._finished_epochs, self._clock = cells, finished_epochs, clock
        self._running: dict[str, _Running] = {}
        self._ended, self._complete = _Sums(), _Sums()
        self._beside: deque[float] = deque(maxlen=RECENT)
        """Seconds of the last runs beside their training."""
        self._between: deque[float] = deque(maxlen=RECENT)
        """Seconds from a run's submission to its end beside the run itself."""
        for cell in cells:
            for kind, seconds, complete in _earlier_runs(cell):
                self._count(kind, seconds, complete)

    def begin(self, job: Job) -> None:
        """Notes that a worker has got a run.

        Args:
            job: the run.
        """
        spec = job.spec
        done = self._finished_epochs(spec.run_id)
        kind = (spec.variant, spec.dataset, spec.role)
        now = self._clock()
        self._running[spec.run_id] = _Running(kind, spec.budget.epochs, now, done, done, now)

    def drop(self, job: Job) -> None:
        """Notes that a worker no longer computes a run, which has not ended.

        Args:
            job: the run.
        """
        self._running.pop(job.spec.run_id, None)

    def end(self, job: Job, record: RunRecord) -> None:
        """Notes that a run has ended.

        Args:
            job: the run.
            record: the record of the run.
        """
        run = self._running.pop(job.spec.run_id)
        seconds = record.costs["seconds"] or 0.0
        self._count(run.kind, seconds, record.status == "complete")
        self._between.append(max(0.0, self._clock() - run.begun - seconds))
        if record.status == "complete":
            self._beside.append(seconds - (record.costs["train_seconds"] or 0.0))

    def _count(self, kind: RunKind, seconds: float, complete: bool) -> None:
        self._ended.add(kind, seconds)
        if complete:  # a pruned or failed run says nothing about another role
            self._complete.add(kind, seconds)

    def unknown(self) -> list[Cell]:
        """Lists the cells with a remaining run that only a timed step can estimate."""
        expected = _Expectation(self._ended, self._complete, self._running_seconds(), {})
        return [
            cell
            for cell in self._cells
            if any(expected.seconds(kind) is None for kind, _, _ in _remaining(cell))
        ]

    def seconds(self, workers: int, *, rough: bool = False) -> float:
        """Estimates the time left.

        Args:
            workers: how many runs are computed at the same time.
            rough: whether runs that nothing is known about count as the mean of all ended runs.

        Returns:
            Seconds; infinite while a cell has neither an ended run nor a timed step, and with
            `rough` while no run has ended.
        """
        by_kind: dict[RunKind, list[_Running]] = {}
        for run_id, run in self._running.items():
            by_kind.setdefault(run.kind, []).append(run)
            if (done := self._finished_epochs(run_id)) > run.epochs_done:
                run.epochs_done, run.epoch_ended = done, self._clock()
        beside = statistics.median(self._beside) if self._beside else FIXED_SECONDS
        between = statistics.median(self._between) if self._between else 0.0
        expected = _Expectation(
            self._ended, self._complete, self._running_seconds(), dict(self.timed), beside
        )
        total = longest = 0.0
        for cell in self._cells:
            alone = 0.0
            for kind, runs, at_once in _remaining(cell):
                each = expected.seconds(kind)
                if each is None and rough:
                    each = self._ended.mean_of_all()
                if each is None:
                    return math.inf
                gone = [self._gone(run, each) for run in by_kind.get(kind, ())]
                total += max(0.0, runs * (each + between) - sum(gone))
                alone += math.ceil(runs / min(at_once, workers)) * (each + between)
                # A waiting run begins after the run that ends first; without one, the last counts.
                alone -= max(gone, default=0.0) if runs > len(gone) else min(gone)
            longest = max(longest, alone)
        return max(total / workers, longest)

    def _running_seconds(self) -> dict[RunKind, float]:
        """Estimates the seconds of a run from the finished epochs of running runs, by kind."""
        found: dict[RunKind, list[float]] = {}
        for run in self._running.values():
            fresh = run.epochs_done - run.epochs_before
            if fresh > 0:
                epoch = (run.epoch_ended - run.begun) / fresh
                found.setdefault(run.kind, []).append(epoch * run.epochs)
        return {kind: statistics.mean(seconds) for kind, seconds in found.items()}

    def _gone(self, run: _Running, expected: float) -> float:
        """Returns how many of the expected seconds of a running run are over."""
        before = expected * run.epochs_before / run.epochs
        return min(before + self._clock() - run.begun, (1 - LEAST_SHARE) * expected)


def _remaining(cell: Cell) -> Iterator[tuple[RunKind, int, int]]:
    """Yields the kinds of a cell's remaining runs, with their number and how many run at once."""
    for role, runs in cell.left_by_role.items():
        variant = cell.specs.base_variant if role == "base" else cell.variant
        if runs and variant is not None:
            at_once = cell.specs.profile.lag if role == "trial" else runs
            yield (variant, cell.dataset, role), runs, at_once


def _earlier_runs(cell: Cell) -> Iterator[tuple[RunKind, float, bool]]:
    """Yields the kind of each run of an earlier process, its seconds, and if it was complete."""
    for trial in cell.trials:
        runs, complete = len(trial.user_attrs["run_ids"]), trial.state == TrialState.COMPLETE
        for _ in range(runs):
            seconds = trial.user_attrs["seconds"] / runs
            yield (cell.variant, cell.dataset, "trial"), seconds, complete
    for record in (*cell.finals.values(), *cell.bases.values()):
        if record is not None:
            kind = (record.spec.variant, cell.dataset, record.role)
            yield kind, record.costs["seconds"] or 0.0, record.status == "complete"
