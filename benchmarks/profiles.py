"""Profiles: how much a run may spend, and how far a sweep searches. See profiles.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmarks import datasets
from benchmarks.records.spec import Budget, Role
from models import registry

if TYPE_CHECKING:
    from models.variant import SourceBudget


class ProfileName(StrEnum):
    """The profiles, by growing expense."""

    smoke = "smoke"
    quick = "quick"
    standard = "standard"
    paper = "paper"
    published = "published"


class Profile(BaseModel):
    """One profile of profiles.yaml, whose head explains each entry."""

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
        """Says what one run of a variant may spend on a dataset.

        Args:
            variant: its name.
            dataset: its name.
            batch_size: samples in a training step, by which a source's steps become epochs.
            role: the run's, or of a base that of the run which is built on it. Trials are compared
                by a validation score, so they need validation samples. In a profile without a
                search the other runs hold out what the source does.
            changes: fields of the budget that go before all others.

        Returns:
            The profile's budget of the task; or, in a profile that spends the sources' budgets,
            that of the variant's source, where there is one for the dataset.
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
    """Counts an epoch's training samples: the source's, less those held out that it trains on."""
    from benchmarks.datasets.task_data import held_out_count  # late: it imports NumPy

    if datasets.find(dataset).generates(task) or source.validation_samples:
        return source.train_samples
    return source.train_samples - held_out_count(held, source.train_samples)


def load_profile(name: ProfileName) -> Profile:
    """Reads one profile."""
    import yaml

    text = (Path(__file__).parent / "profiles.yaml").read_text(encoding="utf-8")
    entry: dict[str, Any] = yaml.safe_load(text)[name.value]
    budgets = {task: {"profile": name.value, **b} for task, b in entry.pop("budgets").items()}
    return Profile.model_validate({"name": name, "budgets": budgets, **entry})
