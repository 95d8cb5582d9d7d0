"""Reads the profiles, which say how much a run may spend and how far a sweep searches.

The profiles are in `profiles.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field

from benchmarks import datasets
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget, Role
from models import registry

if TYPE_CHECKING:
    from models.variant import SourceBudget


class ProfileName(StrEnum):
    """Names the profiles, the cheapest first."""

    smoke = "smoke"
    quick = "quick"
    standard = "standard"
    paper = "paper"
    published = "published"


PROFILE_OPTION = typer.Option(
    metavar="NAME",
    help=f"How much a run may spend: {', '.join(ProfileName)}. smoke takes minutes and downloads "
    "nothing.",
)
"""The option `--profile`; with a list of all names as its metavar, the help would break them."""


class Profile(BaseModel):
    """Holds one profile of `profiles.yaml`, where a comment explains the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ProfileName
    download: Literal["none", "small", "all"]
    sources: bool = False
    trials: int = Field(ge=0)
    finals: int = Field(ge=1)
    lag: int = Field(ge=1)
    startup: int = Field(ge=1)
    warmup: int = Field(ge=0)
    threads: int = Field(ge=1)
    budgets: dict[str, Budget]

    def budget(
        self,
        variant: str,
        dataset: str,
        *,
        batch_size: int,
        role: Role,
        changes: Mapping[str, int] | None = None,
    ) -> Budget:
        """Computes the budget of one run of a variant on a dataset.

        In a profile with `sources`, the variant's paper decides the numbers of epochs and training
        samples, if it published them for the dataset. Otherwise the profile decides.

        In such a profile, validation samples are as many as the paper held out. Where the paper
        says nothing or held out none, and in other profiles, the number is the profile's for
        trials and under profiles with a search, and otherwise 0.

        Args:
            variant: its name.
            dataset: its name.
            batch_size: number of samples per training step; converts published steps to epochs.
            role: the role of the run. For a base, the role of the run that is built on the base.
            changes: fields of the budget that override all others.

        Returns:
            The budget.

        Raises:
            ValidationError: if the changes make an impossible budget.
        """
        task = registry.available()[variant].task
        budget = self.budgets[task]
        source = None
        if self.sources:
            source = registry.variant(variant).published_budgets.get(dataset)
        held = 0 if source is None else source.validation_samples
        if role == "trial" or self.trials:
            held = held or budget.validation_samples
        spent: dict[str, Any] = {"validation_samples": held}
        if source is not None:
            samples = _remaining_samples(source, task, dataset, held)
            epochs = source.epochs_of(batch_size=batch_size, train_samples=samples)
            spent |= {"epochs": epochs, "train_samples": samples}
        return Budget.model_validate({**budget.model_dump(), **spent, **(changes or {})})


def _remaining_samples(source: SourceBudget, task: str, dataset: str, held: int) -> int:
    """Counts the training samples of an epoch under a published budget.

    If validation samples are held out of a still-image dataset and the paper held out none, they
    are subtracted from the published number.
    """
    from benchmarks.datasets.task_data import held_out_count  # late: it imports NumPy

    if datasets.find(dataset).generates(task) or source.validation_samples:
        return source.train_samples
    return source.train_samples - held_out_count(held, source.train_samples)


def load_profile(name: str) -> Profile:
    """Reads one profile from `profiles.yaml`.

    Args:
        name: the name of the profile.

    Returns:
        The profile.

    Raises:
        InputError: if there is no profile of this name.
    """
    import yaml

    if name not in list(ProfileName):
        raise InputError(f"there is no profile {name!r}: choose one of {', '.join(ProfileName)}")
    text = (Path(__file__).parent / "profiles.yaml").read_text(encoding="utf-8")
    entry: dict[str, Any] = yaml.safe_load(text)[name]
    budgets = {task: {"profile": str(name), **b} for task, b in entry.pop("budgets").items()}
    return Profile.model_validate({"name": ProfileName(name), "budgets": budgets, **entry})
