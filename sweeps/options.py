"""Defines the options of a sweep. Importing this is fast."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from benchmarks.commands.cli import Epochs, Offline, RunPrecision, TrainSamples
from benchmarks.records.ledger import Planned
from benchmarks.specs import profiles
from benchmarks.specs.profiles import PROFILE_OPTION, ProfileName
from benchmarks.specs.space_files import Section
from benchmarks.wandb_options import PLAIN, WandbOptions
from sweeps.matrix import choose_cells
from sweeps.slurm_options import SlurmOptions
from sweeps.studies.study_configuration import Sampler


class EngineName(StrEnum):
    """Names the engines, which decide where runs are computed: see sweeps/engines."""

    inline = "inline"
    processes = "processes"
    dask = "dask"
    slurm = "slurm"


class Device(StrEnum):
    """Names the devices on which models are trained; `auto` takes a GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Addition(BaseModel):
    """Says what `capsbench add` adds to a sweep."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(0, ge=0)
    """More trials per study."""
    finals: int = Field(0, ge=0)
    """More finals per cell."""
    only: tuple[str, ...] = ()
    """Patterns of more cells, as in `Options.only`."""


class Options(BaseModel):
    """Holds the options of a sweep.

    A field with a `typer.Option` is an option of `run`. None means the value of the profile or the
    space file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[ProfileName, PROFILE_OPTION] = ProfileName.quick
    data: Path
    only: Annotated[
        tuple[str, ...],
        typer.Option(
            help="Cells to run, as variant/dataset with * for any; repeatable.", show_default=False
        ),
    ] = ()
    engine: Annotated[
        EngineName,
        typer.Option(metavar="NAME", help=f"Where runs are computed: {', '.join(EngineName)}."),
    ] = EngineName.processes
    workers: Annotated[
        int | None,
        Field(ge=1),
        typer.Option(
            min=1,
            help="Runs at the same time; changes no figure.",
            show_default="number of GPUs, else of cores",
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option(help="A Dask scheduler to join, as tcp://host:port; uses all its workers."),
    ] = None
    slurm: SlurmOptions = SlurmOptions()
    sampler: Annotated[
        Sampler | None,
        typer.Option(
            metavar="NAME",
            help=f"Sampler that proposes trials: {', '.join(Sampler)}.",
            show_default="the space file's, or tpe",
        ),
    ] = None
    storage: Annotated[
        str | None,
        typer.Option(
            help="Storage of the studies: postgresql+psycopg://user@host/database, or a journal "
            "file.",
            show_default="studies.db in the results folder",
        ),
    ] = None
    """The URL of a database, or the absolute path of a journal file."""
    epoch_hours: Annotated[
        float,
        Field(gt=0, le=1e6),
        typer.Option(
            min=1e-3,
            max=1e6,
            help="Hours without a finished epoch after which a worker is taken to hang and ended.",
        ),
    ] = 12.0
    trials: Annotated[
        int | None,
        Field(ge=0),
        typer.Option(
            min=0,
            help="Trials per study; 0: no search, the finals use the recipe.",
            show_default="the profile's",
        ),
    ] = None
    finals: Annotated[
        int | None,
        Field(ge=1),
        typer.Option(
            "--finals", "--seeds", min=1, help="Finals per cell.", show_default="the profile's"
        ),
    ] = None
    epochs: Epochs = None
    train_samples: TrainSamples = None
    precision: RunPrecision = "32-true"
    changes: dict[str, Section] = {}
    """By variant, the entries of an experiment's file that replace those of its space file."""
    device: Annotated[Device, typer.Option(help="Where models are trained.")] = Device.auto
    start: dict[str, list[dict[str, JsonValue]]] = {}
    """By cell, as variant/dataset, the points that its study tries after the recipe."""
    variants: dict[str, str] = {}
    """By name of a variant from a user's file, the SHA-256 of the file."""
    log: WandbOptions = PLAIN
    offline: Offline = False
    plan: dict[str, Planned] = {}
    """By study, the plan with an unfinished addition. Without an addition, the ledgers have it."""
    adding: Addition | None = None
    """The unfinished addition, so that the same command resumes it."""

    @field_validator("storage")
    @classmethod
    def _absolute(cls, storage: str | None) -> str | None:
        return storage if storage is None or "://" in storage else str(Path(storage).resolve())

    @model_validator(mode="after")
    def _joined(self) -> Options:
        """Sets the engine to Dask if a scheduler is given."""
        if self.scheduler is not None:
            object.__setattr__(self, "engine", EngineName.dask)
        return self

    def trials_asked(self, profile: profiles.Profile) -> int:
        """Returns the number of trials per study: the option's, or else the profile's.

        Args:
            profile: the profile of the sweep.
        """
        return profile.trials if self.trials is None else self.trials

    def finals_asked(self, profile: profiles.Profile) -> int:
        """Returns the number of finals per cell: the option's, or else the profile's.

        Args:
            profile: the profile of the sweep.
        """
        return profile.finals if self.finals is None else self.finals

    def changes_of(self, variant: str) -> Section:
        """Collects what replaces entries of a variant's space file in this sweep.

        Args:
            variant: the name of the variant.

        Returns:
            The replacing entries, with the epochs and training samples of the command line.
        """
        numbers = {"epochs": self.epochs, "train_samples": self.train_samples}
        budget = {name: number for name, number in numbers.items() if number is not None}
        known = self.changes.get(variant, Section())
        return known.model_copy(update={"budget": {**known.budget, **budget}})

    def studies(self) -> set[str]:
        """Returns the names of the studies of the chosen cells."""
        return {study_name(*cell, self.profile) for cell in choose_cells(self.only)}

    def covering(self, only: tuple[str, ...]) -> Options:
        """Returns these options with more cells.

        Args:
            only: patterns of the cells, as in `Options.only`.

        Raises:
            InputError: if a pattern matches no cell.
        """
        choose_cells(only)
        return self.model_copy(update={"only": (*self.only, *only) if self.only else ()})


def study_name(variant: str, dataset: str, profile: ProfileName) -> str:
    """Returns the name of a cell's study, which is also the name of its ledger.

    Args:
        variant: the name of the variant.
        dataset: the name of the dataset.
        profile: the profile of the sweep.
    """
    return f"{variant}-{dataset}-{profile.value}"
