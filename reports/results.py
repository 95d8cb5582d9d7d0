"""Reads a results folder: the ledger of each cell, and the records of runs."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import DataState, RunRecord
from benchmarks.records.spec import Direction
from reports.forked import in_processes
from reports.row_order import by_dataset, by_task


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Holds one variant on one dataset in one profile, with its finished runs."""

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
        """Returns the name of the cell's study and of its ledger's file."""
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
        """Returns the name of the primary metric."""
        return self.ledger.metric

    @property
    def direction(self) -> Direction:
        """Returns which way the primary metric is better."""
        return self.ledger.directions[self.metric]

    @property
    def order(self) -> tuple[Any, ...]:
        """Returns a sorting key: task, dataset, profile, variant."""
        where = by_task(self.task), by_dataset(self.dataset), self.profile
        return (*where, self.variant, self.study)

    @property
    def best(self) -> RunRecord | None:
        """Returns the first run of the best trial; None if it is not chosen, or has no record."""
        return next((trial for trial in self.trials if trial.run_id == self.ledger.best), None)

    @property
    def scored(self) -> tuple[RunRecord, ...]:
        """Returns the completed finals."""
        return tuple(run for run in self.finals if run.complete)

    @property
    def chosen(self) -> RunRecord | None:
        """Returns a run with the hyper-parameters of the cell's finals: the best trial, or a final
        if there was no search; None if neither has finished."""
        return self.best or next(iter(self.finals), None)

    @property
    def states(self) -> frozenset[DataState]:
        """Returns all states of the data of the finals; without a final those in the ledger."""
        seen = [run.data for run in self.scored if run.data]
        if not seen:
            return frozenset(DataState.named_in(self.ledger.data))
        return frozenset(state for data in seen for state in data.states)

    def stamps(self, runs: Iterable[RunRecord]) -> list[tuple[str, str]]:
        """Pairs the id of each run with the SHA-256 of its record."""
        return [(run.run_id, self.sha256[run.run_id]) for run in runs]

    @property
    def progress(self) -> str:
        """Says how much of the plan has finished: `3 of 8 trials`, `done` or `failed`."""
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
    """Holds the cells and the single runs of a results folder."""

    root: Path
    cells: tuple[Cell, ...]
    single: tuple[RunRecord, ...] = ()
    """Finished runs that belong to no study, as `capsbench run` makes them."""
    unreadable: tuple[str, ...] = ()
    """For each run outside cells whose record cannot be read, the reason."""
    undamaged: frozenset[str] = frozenset()
    """Hashes of the record and the metrics of each run whose damage was checked."""
    damaged: tuple[str, ...] = ()
    """Phrases that name the damaged files of runs that are left out."""
    key: str = ""
    """Changes with the bytes of each ledger and record."""

    @cached_property
    def _tasks(self) -> dict[str, str]:
        """Returns the task of each run of a cell by run id."""
        return {
            run.run_id: cell.task
            for cell in self.cells
            for run in (*cell.bases, *cell.trials, *cell.finals)
        }

    def task(self, run: RunRecord) -> str:
        """Returns the task of a run: of its cell, or what a single run's metrics belong to."""
        return self._tasks.get(run.run_id) or _task_of(run)

    def role(self, run: RunRecord) -> str:
        """Returns `base`, `trial` or `final` for a run of a cell, and `single` for a single run."""
        return run.role if run.run_id in self._tasks else "single"

    @property
    def every_run(self) -> tuple[RunRecord, ...]:
        """Returns the finished runs of cells, each once, then the single runs."""
        return (*self.runs, *self.single)

    @property
    def runs(self) -> tuple[RunRecord, ...]:
        """Returns the finished runs of cells, each once."""
        runs = (run for c in self.cells for run in (*c.bases, *c.trials, *c.finals))
        return tuple({run.run_id: run for run in runs}.values())


def read_results(root: Path) -> Results:
    """Reads a results folder as it is now.

    A run whose files are damaged is left out. A run of a cell counts if the cell's ledger names it,
    and has finished if it has a record. A run that no ledger names is a single run if its record
    names no study; else it is left out, such as a final of a trial that is no longer best.

    Raises:
        InputError: if the folder has neither cells nor single runs, or a ledger, or the record of a
            run that a ledger names, is not one of this version.
        OSError: if a file cannot be read.
    """
    ledgers = ResultsFolder(root).ledgers()
    records = _Records(root, _checked(root))
    with _collection_paused():
        records.check()
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
        single, unreadable = records.outside()
    if not (cells or single):
        raise InputError(
            f"{root}: no results here yet; a sweep or a run makes them (capsbench sweep, run)"
        )
    digest = hashlib.sha256(
        repr((sorted(records.sha256.items()), unreadable, records.damaged)).encode()
    )
    for ledger in ledgers:
        digest.update(ledger.model_dump_json().encode())
    ordered = tuple(sorted(cells, key=lambda cell: cell.order))
    return Results(
        root,
        ordered,
        single,
        unreadable,
        frozenset(records.undamaged),
        tuple(records.damaged),
        digest.hexdigest(),
    )


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Pauses Python's search for cyclic garbage, which would visit each record that was read again
    and again: of 10,000 records it takes two fifths of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _task_of(run: RunRecord) -> str:
    """Names the task whose metrics a run has, since a record of a single run does not name it."""
    names = run.directions.keys()
    if names & {"lin_pred", "segmentation_accuracy"}:
        return "autoencoding"
    return "classification" if names & {"accuracy", "exact_match"} else "prediction"


CHECKED = Path("report") / "index" / "undamaged.txt"
"""Hashes of runs that were found undamaged, one per line; `capsbench report` writes it."""


FEWEST = 500
"""Runs whose check for damage is worth another process."""


def _checked(root: Path) -> set[str]:
    try:
        return set((root / CHECKED).read_text().split())
    except (OSError, UnicodeDecodeError):
        return set()


@dataclass
class _Records:
    """Reads each record of a results folder once, however many cells name it."""

    root: Path
    checked: set[str] = field(default_factory=set)
    """Hashes of the files of undamaged runs, from an earlier report; a check takes milliseconds."""
    undamaged: set[str] = field(default_factory=set)
    sha256: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    _faults: dict[str, str | None] = field(default_factory=dict)
    """By hash of the files of a run, its damage; only of runs that `check` checked."""
    _read: dict[str, RunRecord | None] = field(default_factory=dict)

    def check(self) -> None:
        """Checks all runs for damage in several processes, if most were not checked before."""
        run_ids = [path.name for path in ResultsFolder(self.root).runs.glob("*")]
        if 2 * len(self.checked) < len(run_ids):
            self._faults.update(in_processes(self._checked_run, run_ids, fewest=FEWEST))

    def _checked_run(self, run_id: str) -> tuple[str, str | None]:
        """Returns the hash of a run's files, and their damage.

        The hash is empty if there is no record or a file cannot be read.
        """
        folder = RunFolder(self.root, run_id)
        try:
            content = folder.read_bytes()
            if content is not None:
                return folder.content_hash(content), folder.damage(weights=False)
        except OSError:
            pass  # whoever needs the run reads it again, and says what is wrong
        return "", None

    def of(self, run_ids: Iterable[str]) -> tuple[RunRecord, ...]:
        """Returns the records of those of these runs that have finished."""
        return tuple(record for run_id in run_ids if (record := self._record(run_id)))

    def _record(self, run_id: str) -> RunRecord | None:
        if run_id not in self._read:
            folder = RunFolder(self.root, run_id)
            content = folder.read_bytes()
            if content is not None and not self._is_whole(folder, content):
                content = None
            self._read[run_id] = None if content is None else folder.parse(content, checked=True)
            if content is not None:
                self.sha256[run_id] = hashlib.sha256(content).hexdigest()
        return self._read[run_id]

    def _is_whole(self, folder: RunFolder, content: bytes) -> bool:
        """Returns whether a run is undamaged, and keeps the damage."""
        mark = folder.content_hash(content)
        if mark not in self.checked:
            known = mark in self._faults
            fault = self._faults[mark] if known else folder.damage(weights=False)
            if fault is not None:
                self.damaged.append(fault)
                return False
        self.undamaged.add(mark)
        return True

    def outside(self) -> tuple[tuple[RunRecord, ...], tuple[str, ...]]:
        """Reads the runs that were not asked for before.

        Returns:
            Those without a study, sorted by run id; and a sentence for each that cannot be read.
        """
        found, unreadable = [], []
        for run in ResultsFolder(self.root).run_folders():
            if (run_id := run.run_id) in self._read:
                continue
            try:
                record = self._record(run_id)
            except (InputError, OSError) as error:
                unreadable.append(str(error))
                continue
            if record is not None and record.study is None:
                found.append(record)
            else:
                self.sha256.pop(run_id, None)
        return tuple(found), tuple(unreadable)
