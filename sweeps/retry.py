"""Chooses ended runs that shall be re-run, and sets their records aside: `capsbench retry`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from benchmarks.datasets.dataset import DataSource
from benchmarks.provenance import provenance
from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import DataState, RunRecord, changes


@dataclass(frozen=True)
class Selection:
    """Says which ended runs are re-run: failed ones, unless `other_code` is given."""

    reason: str | None = None
    """A part of the reason of the failure, in capital or small letters; None: any."""
    only: tuple[str, ...] = ()
    """Patterns of `variant/dataset`; none: all cells."""
    other_code: bool = False
    """Whether runs are chosen that other code, libraries or another processor made, instead."""

    def why(self, record: RunRecord) -> str | None:
        """Says why a run is re-run; None if it is not chosen."""
        cell = f"{record.variant}/{record.dataset}"
        if self.only and not any(fnmatchcase(cell, pattern) for pattern in self.only):
            return None
        if self.other_code:
            device = record.spec.device
            now = provenance().conditions(device)
            return changes(record.provenance.conditions(device), now) or None
        if record.status != "failed":
            return None
        reason = record.reason or "no reason is known"
        return f"failed: {reason}" if (self.reason or "").lower() in reason.lower() else None


class ChosenRun(NamedTuple):
    """Names a run that shall be re-run."""

    run: RunFolder
    record: RunRecord
    why: str


class RunsToRetry:
    """Finds the runs of a results folder that a selection chooses.

    Damaged records are left out, as they are re-run anyway; so are runs of cells that the sweep of
    the folder does not cover any more.

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
        """RunsToRetry that the sweep makes again if they have no record."""
        self.single: list[ChosenRun] = []
        """RunsToRetry of no sweep; bases come first, as other runs need them."""
        for path in sorted(folder.runs.glob("*")):
            run = RunFolder(results, path.name)
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
            studies: as for the class.

        Raises:
            InputError: if none was; the sentence names the reasons of failures that there are.
        """
        if self.of_sweep or self.single:
            return
        failed = RunsToRetry(results, Selection(), studies)
        reasons = sorted({printable(each.why) for each in (*failed.of_sweep, *failed.single)})
        there = f"its runs {'; '.join(reasons[:5])}" if reasons else "none of its runs has failed"
        raise InputError(f"nothing to retry in {results}: {there}")

    def set_aside(self) -> None:
        """Renames the records of the sweep's runs, so that the sweep re-runs them, and says so."""
        for chosen in self.of_sweep:
            self._set_aside(chosen)

    def rerun_single(self, source: DataSource) -> list[RunRecord]:
        """Re-runs the runs of no sweep, one after the other.

        Args:
            source: where the data is. For a run on a stand-in nothing is downloaded.

        Returns:
            The new records.

        Raises:
            InputError: if the data is not that of a run, whose record then stays.
        """
        from benchmarks.runs.run import run

        records = []
        for chosen in self.single:
            data = chosen.record.data
            standin = data is not None and DataState.stand_in in data.states
            where = DataSource(source.root) if standin else source
            aside, record = self._set_aside(chosen), chosen.run.record
            try:
                records.append(run(chosen.record.spec, source=where, results=chosen.run.results))
            finally:
                if not record.exists():  # so that the next retry finds it
                    aside.replace(record)
        return records

    def _set_aside(self, chosen: ChosenRun) -> Path:
        """Renames a record; that of a failure becomes `failed-1.json`, `failed-2.json`…

        Returns:
            Its new path.
        """
        run = chosen.run
        number = 1 + len(list(run.path.glob("failed-*.json")))
        name = "record.replaced" if self._selection.other_code else f"failed-{number}.json"
        run.set_aside(f"run {run.run_id} is re-run ({printable(chosen.why)})", name)
        return run.path / name


def _named_by(ledgers: Iterable[CellLedger]) -> set[str]:
    """Returns the ids of the runs that ledgers name."""
    return {run_id for cell in ledgers for run_id in (*cell.bases, *cell.trials, *cell.finals)}
