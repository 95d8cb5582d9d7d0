"""Chooses the runs that `capsbench retry` re-runs, and sets their records aside."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from benchmarks.commands.cli import require_device_of
from benchmarks.provenance import changes_since
from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import RunRecord


@dataclass(frozen=True)
class Selection:
    """Selects the runs that are re-run: failed ones, unless `other_code` is set."""

    reason: str | None = None
    """A part of the reason of the failure; upper and lower case are equal. None: any reason."""
    only: tuple[str, ...] = ()
    """Patterns of `variant/dataset`; empty: all cells."""
    other_code: bool = False
    """Whether to select instead the runs of other code, other libraries or another processor."""

    def why(self, record: RunRecord) -> str | None:
        """Explains why a run is selected.

        Args:
            record: the record of the run.

        Returns:
            The reason, as a part of a sentence; None if the run is not selected.
        """
        cell = f"{record.variant}/{record.dataset}"
        if self.only and not any(fnmatchcase(cell, pattern) for pattern in self.only):
            return None
        if self.other_code:
            return changes_since(record) or None
        if record.status != "failed":
            return None
        reason = record.reason or "no reason is known"
        return f"failed: {reason}" if (self.reason or "").lower() in reason.lower() else None


class ChosenRun(NamedTuple):
    """Holds a run that shall be re-run, with the reason."""

    run: RunFolder
    record: RunRecord
    why: str


class RunsToRetry:
    """Finds the runs of a results folder that a selection chooses.

    Damaged records are left out, because their runs are re-run anyway. Runs of cells that the
    sweep of the folder no longer covers are left out, too.

    Args:
        results: the results folder.
        selection: which runs are re-run.
        studies: the names of the studies that the sweep of the folder covers.

    Raises:
        InputError: if a record or a ledger is of another version.
    """

    def __init__(self, results: Path, selection: Selection, studies: Collection[str]) -> None:
        self._selection = selection
        folder = ResultsFolder(results)
        ledgers = folder.ledgers()
        named = _named_by(ledgers)
        covered = _named_by(cell for cell in ledgers if cell.study in studies)
        self.of_sweep: list[ChosenRun] = []
        """The runs that the sweep re-runs once they have no record."""
        self.single: list[ChosenRun] = []
        """The runs that belong to no sweep; bases come first, because other runs need them."""
        for run in folder.run_folders():
            record = None if run.damage(weights=False) else run.read()
            if record is None or (why := selection.why(record)) is None:
                continue
            if run.run_id in covered:
                self.of_sweep.append(ChosenRun(run, record, why))
            elif run.run_id not in named and record.study is None:
                self.single.append(ChosenRun(run, record, why))
        self.single.sort(key=lambda chosen: chosen.record.role != "base")

    def require_any(self, results: Path, studies: Collection[str]) -> None:
        """Checks that a run was chosen.

        Args:
            results: the results folder.
            studies: the names of the studies that the sweep of the folder covers.

        Raises:
            InputError: if no run was chosen; the message lists the reasons of the folder's
                failures.
        """
        if self.of_sweep or self.single:
            return
        failed = RunsToRetry(results, Selection(), studies)
        reasons = sorted({printable(each.why) for each in (*failed.of_sweep, *failed.single)})
        there = f"its runs {'; '.join(reasons[:5])}" if reasons else "none of its runs has failed"
        raise InputError(f"nothing to retry in {results}: {there}")

    def set_aside(self) -> None:
        """Renames the records of the sweep's runs, so that the sweep re-runs them; prints each."""
        for chosen in self.of_sweep:
            self._set_aside(chosen)

    def rerun_single(self, root: Path, *, offline: bool) -> list[RunRecord]:
        """Re-runs the runs that belong to no sweep, one after the other.

        Args:
            root: the folder of the datasets.
            offline: whether downloads are off. They are also off for a run that used a stand-in.

        Returns:
            The new records.

        Raises:
            InputError: if the data differs from the data of a run, or this machine lacks the kind
                of device that computed it; the record of that run is kept.
        """
        from benchmarks.runs.run import run
        from benchmarks.runs.stored_runs import source_of

        records = []
        for chosen in self.single:
            require_device_of(chosen.record.spec)
            source = source_of(chosen.record, root, offline=offline)
            aside, record = self._set_aside(chosen), chosen.run.record
            try:
                records.append(run(chosen.record.spec, source=source, results=chosen.run.results))
            finally:
                if not record.exists():  # so that the next retry finds it
                    aside.replace(record)
        return records

    def _set_aside(self, chosen: ChosenRun) -> Path:
        """Renames a record: to `failed-1.json`, `failed-2.json` … if the run failed.

        Returns:
            The new path of the record.
        """
        run = chosen.run
        number = 1 + len(list(run.path.glob("failed-*.json")))
        name = "record.replaced" if self._selection.other_code else f"failed-{number}.json"
        run.set_aside(f"run {run.run_id} is re-run ({printable(chosen.why)})", name)
        return run.path / name


def _named_by(ledgers: Iterable[CellLedger]) -> set[str]:
    """Returns the ids of the runs that ledgers name."""
    return {run_id for cell in ledgers for run_id in (*cell.bases, *cell.trials, *cell.finals)}
