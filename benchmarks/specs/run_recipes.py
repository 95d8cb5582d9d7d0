"""Resolves the hyper-parameters and the budget of a variant on a dataset under a profile.

This is the only place that resolves hyper-parameters. Later values override earlier ones: the
variant's defaults, its presets for the dataset, the values that its space file sets (`fixed`, then
`set` of the profile), the given values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError

from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget, Role
from benchmarks.specs.profiles import Profile, ProfileName
from benchmarks.specs.space_files import Section, SpaceFile
from models import registry
from models.variant import Variant


class Recipe(NamedTuple):
    """Holds the hyper-parameters and budget changes of a variant on a dataset under a profile."""

    variant: str
    dataset: str
    apart: dict[str, Any]
    """The values that presets and space file set, by hyper-parameter; defaults are left out."""
    config: type[Any]
    """The class of the variant's hyper-parameters."""
    budget_changes: Mapping[str, int]
    """The fields of the profile's budget that the space file changes for this variant."""

    def resolve(self, given: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Completes and validates hyper-parameters.

        Args:
            given: values by hyper-parameter; they override the recipe's values.

        Returns:
            All hyper-parameters of the variant, as JSON values; those of `later_field` are
            left out at their default, as in specs.

        Raises:
            InputError: if a name is unknown, or a value is not possible.
        """
        for name in given:
            if name not in self.config.model_fields:
                hint = registry.nearest(name, self.config.model_fields)
                raise InputError(f"{self.variant} has no hyper-parameter {name!r}: {hint}")
        try:
            return self.config.model_validate({**self.apart, **given}).model_dump(mode="json")
        except ValidationError as error:
            raise InputError(invalid_value(error)) from None

    def complete(self, given: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Completes hyper-parameters as `resolve` does, and leaves none out.

        Args:
            given: values by hyper-parameter; they override the recipe's values.

        Returns:
            All hyper-parameters of the variant, as JSON values.

        Raises:
            InputError: if a name is unknown, or a value is not possible.
        """
        fields = self.config.model_fields.items()
        later = {name: field.default for name, field in fields if field.exclude_if}
        return {**later, **self.resolve(given)}

    def budget(
        self,
        profile: Profile,
        role: Role,
        *,
        batch_size: int,
        changes: Mapping[str, int] | None = None,
    ) -> Budget:
        """Computes the budget of a run: see `Profile.budget`.

        Args:
            profile: the profile.
            role: the role of the run. For a base, the role of the run that is built on the base.
            batch_size: number of samples per training step.
            changes: fields of the budget that override the profile's and the recipe's.

        Returns:
            The budget.

        Raises:
            InputError: if the changes make an impossible budget.
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


def load_recipe(
    variant: str, dataset: str, profile: ProfileName, *, path: Path | None = None
) -> Recipe:
    """Reads the recipe of a variant on a dataset.

    Args:
        variant: its name.
        dataset: its name.
        profile: the profile's name.
        path: the space file; by default the variant's file in `sweeps/spaces`.

    Returns:
        The recipe.

    Raises:
        InputError: if the space file is missing or wrong.
    """
    return load_recipe_of(variant, registry.variant(variant), dataset, profile, path)


def load_recipe_of(
    variant: str,
    cls: type[Variant],
    dataset: str,
    profile: ProfileName,
    path: Path | None = None,
    changes: Section | None = None,
) -> Recipe:
    """Reads the recipe of a variant that need not be registered.

    Args:
        variant: its name.
        cls: its class.
        dataset: the name of the dataset.
        profile: the profile's name.
        path: the space file; by default the file of this name in `sweeps/spaces`.
        changes: replaces entries of the file.

    Returns:
        The recipe.

    Raises:
        InputError: if the space file is missing or wrong.
    """
    file = SpaceFile(variant, cls.Config, path, changes)
    apart = {**cls.presets.get(dataset, {}), **file.given(profile)}
    return Recipe(variant, dataset, apart, cls.Config, file.section(profile).budget)


def invalid_value(error: ValidationError) -> str:
    """Describes the first fault of user input that pydantic finds, in one sentence.

    Args:
        error: pydantic's error.

    Returns:
        The field, the value and the reason; or the text of a ValueError raised by a model here.
    """
    first = error.errors()[0]
    if first["type"] == "value_error":  # its text is a whole sentence, written in this project
        return str(first["ctx"]["error"])
    spot = ".".join(str(part) for part in first["loc"])
    return f"{spot} = {first['input']!r} is not possible: {first['msg']}"
