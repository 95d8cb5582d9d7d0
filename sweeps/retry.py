"""Chooses ended runs that shall be re-run, and sets their records aside: `capsbench retry`."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.datasets.dataset import DataSource
from benchmarks.provenance import provenance
from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import ResultsFolder, RunFolder
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


def chosen(results: Path, selection: Selection) -> list[tuple[RunFolder, str]]:
    """Finds the runs that a selection chooses. Damaged records are left to the sweep.

    Args:
        results: the results folder. If it holds a sweep, its cells' runs are looked at; else all.
        selection: which runs are re-run.

    Returns:
        The folder of each run, and why it is re-run; bases come first, as other runs need them.

    Raises:
        InputError: if a record or a ledger is of another version.
    """
    folder = ResultsFolder(results)
    ledgers = folder.ledgers()
    named = [run_id for cell in ledgers for run_id in (*cell.bases, *cell.trials, *cell.finals)]
    run_ids = named if ledgers else sorted(path.name for path in folder.runs.glob("*"))
    found: dict[str, tuple[bool, RunFolder, str]] = {}
    for run in (RunFolder(results, run_id) for run_id in dict.fromkeys(run_ids)):
        record = None if run.damage(weights=False) else run.read()
        if record is not None and (why := selection.why(record)) is not None:
            found[run.run_id] = (record.role != "base", run, why)
    return [(run, why) for _, run, why in sorted(found.values(), key=lambda each: each[0])]


def require_any(results: Path, selection: Selection) -> None:
    """Checks that a selection chooses a run.

    Args:
        results: the results folder.
        selection: which runs are re-run.

    Raises:
        InputError: if it chooses none; the sentence names the reasons of failures that there are.
    """
    if chosen(results, selection):
        return
    reasons = sorted({printable(why) for _, why in chosen(results, Selection())})
    there = f"its runs {'; '.join(reasons[:5])}" if reasons else "none of its runs has failed"
    raise InputError(f"nothing to retry in {results}: {there}")


def set_aside(results: Path, selection: Selection) -> None:
    """Renames the records of the chosen runs, so that a sweep re-runs them, and says so.

    The record of a failure is kept in the folder of its run, as `failed-1.json`, `failed-2.json`…

    Args:
        results: the results folder.
        selection: which runs are re-run.

    Raises:
        InputError: if a record or a ledger is of another version.
    """
    for run, why in chosen(results, selection):
        _set_aside(run, why, selection)


def rerun(results: Path, selection: Selection, data: Path) -> list[RunRecord]:
    """Re-runs the chosen runs of a results folder without a sweep, one after the other.

    Args:
        results: the results folder.
        selection: which runs are re-run.
        data: the folder of the datasets.

    Returns:
        The new records.

    Raises:
        InputError: if a record is of another version, or the data is not that of a run.
    """
    from benchmarks.runs.run import run

    records = []
    for folder, why in chosen(results, selection):
        record = folder.read()
        assert record is not None
        standin = record.data is not None and DataState.stand_in in record.data.states
        source = DataSource(data, "none" if standin else "small")
        _set_aside(folder, why, selection)
        records.append(run(record.spec, source=source, results=results, study=record.study))
    return records


def _set_aside(run: RunFolder, why: str, selection: Selection) -> None:
    number = 1 + len(list(run.path.glob("failed-*.json")))
    name = "record.replaced" if selection.other_code else f"failed-{number}.json"
    run.set_aside(f"run {run.run_id} is re-run ({printable(why)})", name)
