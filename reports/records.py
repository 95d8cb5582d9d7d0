"""Reading a results folder: each cell's ledger, and the records of the runs that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import DataState, RunRecord
from benchmarks.records.spec import Direction
from reports.order import by_dataset, by_task


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One variant on one dataset under one profile, with those of its runs that have finished."""

    ledger: CellLedger
    """Names the runs that count."""
    bases: tuple[RunRecord, ...]
    """Runs of another variant whose trained models this cell's runs are built on."""
    trials: tuple[RunRecord, ...]
    finals: tuple[RunRecord, ...]
    sha256: Mapping[str, str]
    """SHA-256 of the bytes of each run's record, by run id; other cells' runs may be among them."""

    @property
    def study(self) -> str:
        """The name of the cell's study, and of its ledger's file."""
        return self.ledger.study

    @property
    def variant(self) -> str:
        return self.ledger.variant

    @property
    def dataset(self) -> str:
        return self.ledger.dataset

    @property
    def task(self) -> str:
        return self.ledger.task

    @property
    def profile(self) -> str:
        return self.ledger.profile

    @property
    def metric(self) -> str:
        """The name of the primary metric."""
        return self.ledger.metric

    @property
    def direction(self) -> Direction:
        """Which way the primary metric is better."""
        return self.ledger.directions[self.metric]

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts cells as all tables have them: by task, dataset, profile, variant."""
        where = by_task(self.task), by_dataset(self.dataset), self.profile
        return (*where, self.variant, self.study)

    @property
    def best(self) -> RunRecord | None:
        """The first run of the best trial; None before it is chosen, and if it has no record."""
        return next((trial for trial in self.trials if trial.run_id == self.ledger.best), None)

    @property
    def scored(self) -> tuple[RunRecord, ...]:
        """The finals that completed: what every figure of this cell is made from."""
        return tuple(run for run in self.finals if run.complete)

    @property
    def chosen(self) -> RunRecord | None:
        """Returns a run with the hyper-parameters of the cell's finals: the best trial, or a final
        if there was no search; None if neither has finished."""
        return self.best or next(iter(self.finals), None)

    @property
    def states(self) -> frozenset[DataState]:
        """All states of the data behind the cell's figures; the ledger's while it has none."""
        seen = [run.data for run in self.scored if run.data]
        if not seen:
            return frozenset(DataState.named_in(self.ledger.data))
        return frozenset(state for data in seen for state in data.states)

    def stamps(self, runs: Iterable[RunRecord]) -> list[tuple[str, str]]:
        """Pairs the id of each of these runs with what changes with its record's bytes."""
        return [(run.run_id, self.sha256[run.run_id]) for run in runs]

    @property
    def progress(self) -> str:
        """What is there so far; `done` where nothing remains to do."""
        planned, trials = self.ledger.planned, self.ledger.states.finished
        if self.ledger.reason and not self.scored:
            return "failed"
        if trials < planned.trials:
            return f"{trials} of {planned.trials} trials"
        if len(self.finals) < planned.finals:
            return f"{len(self.finals)} of {planned.finals} finals"
        return "done"


@dataclass(frozen=True)
class Results:
    """All cells of a results folder, in their order."""

    root: Path
    cells: tuple[Cell, ...]
    damaged: tuple[str, ...] = ()
    """Phrases that name the damaged files of runs that are left out."""

    @property
    def runs(self) -> tuple[RunRecord, ...]:
        """The finished runs that cells name, each once."""
        runs = (run for c in self.cells for run in (*c.bases, *c.trials, *c.finals))
        return tuple({run.run_id: run for run in runs}.values())


def load(root: Path) -> Results:
    """Reads the folder as it is now.

    A run counts if a cell names it, and has finished if it has a record. A run whose files are
    damaged is left out. What else is in `runs/` is
    no part of the sweep: runs made by hand, finals of a trial that is no longer best.

    Raises:
        InputError: if the folder has no cells, or a ledger or record is not one of this version.
        OSError: if a file cannot be read.
    """
    ledgers = ResultsFolder(root).ledgers()
    if not ledgers:
        raise InputError(f"{root}: no results here yet; a sweep makes them (python -m sweeps run)")
    records = _Records(root)
    cells = [
        Cell(
            ledger=ledger,
            bases=records.of(ledger.bases),
            trials=records.of(ledger.trials),
            finals=records.of(ledger.finals),
            sha256=records.sha256,
        )
        for ledger in ledgers
    ]
    ordered = tuple(sorted(cells, key=lambda cell: cell.order))
    return Results(root, ordered, tuple(records.damaged))


@dataclass
class _Records:
    """Reads each record of a results folder once, however many cells name it."""

    root: Path
    sha256: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    _read: dict[str, RunRecord | None] = field(default_factory=dict)

    def of(self, run_ids: Iterable[str]) -> tuple[RunRecord, ...]:
        """Returns the records of those of these runs that have finished."""
        return tuple(record for run_id in run_ids if (record := self._record(run_id)))

    def _record(self, run_id: str) -> RunRecord | None:
        if run_id not in self._read:
            folder = RunFolder(self.root, run_id)
            content = folder.read_bytes()
            if content is not None and (fault := folder.damage(weights=False)) is not None:
                self.damaged.append(fault)
                content = None
            self._read[run_id] = None if content is None else folder.parse(content)
            if content is not None:
                self.sha256[run_id] = hashlib.sha256(content).hexdigest()
        return self._read[run_id]
