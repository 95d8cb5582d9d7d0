"""The ledger of a cell: which of its runs count, and what is left to do."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from benchmarks.records.atomic_files import write_json
from benchmarks.records.errors import InputError, first_fault, printable
from benchmarks.records.spec import Count, Direction, Frozen, RunId


class Planned(Frozen):
    """How many trials and finals a cell shall have. A plan grows, and never shrinks."""

    trials: Count = 0
    finals: Count = 0


class States(Frozen):
    """How many finished trials ended how."""

    complete: Count = 0
    pruned: Count = 0
    fail: Count = 0

    @property
    def finished(self) -> int:
        """Trials that have ended."""
        return self.complete + self.pruned + self.fail


class PrunedEpochs(Frozen):
    """Epochs of pruned trials: trained, and saved by pruning. Of several seeds, whole runs."""

    had: Count = 0
    saved: Count = 0


class CellLedger(Frozen):
    """What a sweep knows of one cell, stored as `cells/<study>.json`."""

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
    best: RunId | None = Field(description="the first run of the best trial, once it is chosen")
    cost: str | None = Field(description="the study's second objective")
    states: States
    epochs: PrunedEpochs
    retries: Count = Field(description="runs begun again, since their worker had died")
    left: Count = Field(description="runs that remain, at most")
    finals: list[RunId] = Field(description="run ids of the finals")
    bases: list[RunId] = Field(description="run ids of the runs that this cell's are built on")
    importance: dict[str, float] = Field(description="of searched hyper-parameters, by Optuna")
    reason: str | None = Field(description="why a finished cell has no final")

    @model_validator(mode="after")
    def _directed(self) -> CellLedger:
        if self.metric not in self.directions:
            raise ValueError("directions lacks the primary metric")
        return self

    @property
    def done(self) -> bool:
        """Whether nothing remains to do."""
        return self.reason is not None or len(self.finals) == self.planned.finals

    @classmethod
    def read(cls, path: Path) -> CellLedger:
        """Reads a ledger.

        Raises:
            FileNotFoundError: if there is none.
            InputError: if the file is not the ledger that its name says.
        """
        try:
            ledger = cls.model_validate_json(path.read_bytes(), strict=True)
        except ValidationError as error:
            raise InputError(
                f"{path} is not a cell's ledger of this version ({first_fault(error)}): remove it, "
                "and a sweep writes it again"
            ) from None
        if ledger.study != path.stem:
            raise InputError(
                f"{path} is not the ledger that its name says, but that of "
                f"{printable(ledger.study)}: give it its name back"
            )
        return ledger

    def write(self, path: Path) -> None:
        """Writes the ledger, atomically, and makes its folder; an equal file is left as it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.model_dump(mode="json"))
