"""Recipes: the hyper-parameters and the budget of a variant on a dataset under a profile.

Hyper-parameters are resolved here, and nowhere else: the variant's defaults, then its presets for
the dataset, then what its space file sets (`fixed`, then the profile's `set`), then what is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError

from benchmarks.profiles import Profile, ProfileName
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget, Role
from benchmarks.space_files import SpaceFile
from models import registry
from models.variant import Variant


class Recipe(NamedTuple):
    """What a run of a variant on a dataset is made of under a profile."""

    variant: str
    dataset: str
    apart: dict[str, Any]
    """Hyper-parameters apart from the defaults, before anything is given."""
    config: type[Any]
    budget_changes: Mapping[str, int]
    """Fields of the profile's budget that differ for this variant."""

    def resolve(self, given: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Completes hyper-parameters by those of the recipe.

        Args:
            given: hyper-parameters that go before the recipe's.

        Returns:
            All hyper-parameters of the variant, as JSON has them.

        Raises:
            InputError: for an unknown name, with the nearest known one, and for a value that its
                hyper-parameter cannot take.
        """
        for name in given:
            if name not in self.config.model_fields:
                hint = registry.nearest(name, self.config.model_fields)
                raise InputError(f"{self.variant} has no hyper-parameter {name!r}: {hint}")
        try:
            return self.config.model_validate({**self.apart, **given}).model_dump(mode="json")
        except ValidationError as error:
            raise InputError(invalid_value(error)) from None

    def budget(
        self,
        profile: Profile,
        role: Role,
        *,
        batch_size: int,
        changes: Mapping[str, int] | None = None,
    ) -> Budget:
        """Says what a run may spend: see `Profile.budget`.

        Args:
            profile: the profile.
            role: the run's, or of a base that of the run which is built on it.
            batch_size: samples in a training step.
            changes: fields that go before the profile's and the recipe's.

        Raises:
            InputError: if the changes make no budget.
        """
        try:
            return profile.budget(
                self.variant,
                self.dataset,
                batch_size=batch_size,
                role=role,
                changes={**self.budget_changes, **(changes or {})},
            )
        except ValidationError as error:
            raise InputError(invalid_value(error)) from None


def recipe(variant: str, dataset: str, profile: ProfileName, *, path: Path | None = None) -> Recipe:
    """Reads the recipe of a variant on a dataset.

    Args:
        variant: its name.
        dataset: its name.
        profile: the profile's name.
        path: the space file, by default the variant's own.

    Raises:
        InputError: if the variant's space file is missing or wrong.
    """
    return recipe_of(variant, registry.variant(variant), dataset, profile, path)


def recipe_of(
    variant: str, cls: type[Variant], dataset: str, profile: ProfileName, path: Path | None = None
) -> Recipe:
    """Does what `recipe` does, for a class that need not be registered."""
    file = SpaceFile(variant, cls.Config, path)
    apart = {**cls.presets.get(dataset, {}), **file.given(profile)}
    return Recipe(variant, dataset, apart, cls.Config, file.section(profile).budget)


def invalid_value(error: ValidationError) -> str:
    """Writes the first thing that pydantic finds wrong as one sentence."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # a sentence of our own
        return str(first["ctx"]["error"])
    spot = ".".join(str(part) for part in first["loc"])
    return f"{spot} = {first['input']!r} is not possible: {first['msg']}"
