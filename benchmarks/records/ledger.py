"""Defines the ledger of a cell: its runs, its results so far, and what remains to be done."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from benchmarks.records.atomic_files import write_json
from benchmarks.records.errors import InputError, first_fault, printable
from benchmarks.records.spec import Count, Direction, Frozen, RunId


class Planned(Frozen):
    """Holds how many trials and finals a cell shall have. The numbers grow and never shrink."""

    trials: Count = 0
    finals: Count = 0


class States(Frozen):
    """Counts the finished trials of a cell by their state."""

    complete: Count = 0
    pruned: Count = 0
    fail: Count = 0

    @property
    def finished(self) -> int:
        """Counts all finished trials."""
        return self.complete + self.pruned + self.fail


class PrunedEpochs(Frozen):
    """Counts the epochs that pruned trials trained (`had`), and that pruning saved (`saved`).

    A trial of several seeds saves whole runs.
    """

    had: Count = 0
    saved: Count = 0


class CellLedger(Frozen):
    """Holds what a sweep knows about one cell; it is stored as `cells/<study>.json`."""

    study: str = Field(description="variant, dataset and profile; the name of the file")
    variant: str
    dataset: str
    task: str
    profile: str
    metric: str = Field(description="the primary metric")
    directions: dict[str, Direction] = Field(description="which way each metric is better")
    data: str = Field(description="the state of the data")
    planned: Planned
    trials: list[RunId] = Field(description="run ids of the trials, each once")
    best: RunId | None = Field(description="the first run of the best trial; None: not chosen yet")
    cost: str | None = Field(description="the study's second objective; None: there is none")
    states: States
    epochs: PrunedEpochs
    retries: Count = Field(description="runs that were retried because their worker had died")
    left: Count = Field(description="runs that remain; an upper bound")
    finals: list[RunId] = Field(description="run ids of the finals")
    bases: list[RunId] = Field(description="run ids of the bases of this cell's runs")
    importance: dict[str, float] = Field(
        description="by searched hyper-parameter, its importance as Optuna computes it"
    )
    reason: str | None = Field(description="why a finished cell has no finals; None: it has some")

    @model_validator(mode="after")
    def _directed(self) -> CellLedger:
        if self.metric not in self.directions:
            raise ValueError("directions lacks the primary metric")
        return self

    @property
    def done(self) -> bool:
        """Returns whether no trial and no final remains to be run."""
        return self.reason is not None or len(self.finals) == self.planned.finals

    @classmethod
    def read(cls, path: Path) -> CellLedger:
        """Reads and validates a ledger.

        Args:
            path: the file, `<study>.json`.

        Returns:
            The ledger.

        Raises:
            FileNotFoundError: if the file does not exist.
            InputError: if the file is not a ledger of this version, or has another study's name.
        """
        try:
            ledger = cls.model_validate_json(path.read_bytes(), strict=True)
        except ValidationError as error:
            raise InputError(
                f"{path} is not a cell's ledger of this version ({first_fault(error)}): remove it, "
                "and the next sweep of the cell writes it again"
            ) from None
        if ledger.study != path.stem:
            raise InputError(
                f"{path} is the ledger of another study, {printable(ledger.study)}: rename the "
                "file to the study's name"
            )
        return ledger

    def write(self, path: Path) -> None:
        """Writes the ledger atomically, and makes its folder. An equal file is not touched.

        Args:
            path: the file, `<study>.json`.

        Raises:
            OSError: if the file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.model_dump(mode="json"))
