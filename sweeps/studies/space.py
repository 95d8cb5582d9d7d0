"""Reads search spaces: the hyper-parameters that a study varies, their ranges and conditions.

benchmarks/specs/space_files.py describes the files. A condition (`when`) names an earlier entry and
the value, or the list of values, for which the entry is searched. Trial 0 of each study is the
recipe (benchmarks/specs/run_recipes.py), so every range must contain the value of the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, ConfigDict, JsonValue, StrictFloat, StrictInt, ValidationError

from benchmarks import wording
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget, Role
from benchmarks.specs.profiles import Profile, ProfileName
from benchmarks.specs.run_recipes import Recipe, load_recipe_of
from benchmarks.specs.space_files import Section, SpaceFile
from models.variant import Variant
from sweeps.studies.study_configuration import StudyConfiguration

Value = bool | int | float | str | None
Number = StrictInt | StrictFloat


class Entry(BaseModel):
    """Holds the entry of one searched hyper-parameter in a space file: a range, or choices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Number | None = None
    choices: tuple[Value, ...] | None = None
    when: dict[str, Value | list[Value]] = {}


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)


class Space:
    """Holds the search space of a variant on a dataset in a profile.

    Args:
        recipe: the recipe, which has the values of hyper-parameters that are not searched.
        distributions: by name, the range or choices of each searched hyper-parameter.
        conditions: by name, the condition of each searched hyper-parameter: the values that other
            searched hyper-parameters must have.
        configuration: how the study searches.
    """

    def __init__(
        self,
        recipe: Recipe,
        distributions: dict[str, BaseDistribution],
        conditions: dict[str, dict[str, list[Value]]],
        configuration: StudyConfiguration,
    ) -> None:
        self.configuration = configuration
        self.distributions = distributions
        self.conditions = conditions
        self._recipe = recipe

    def suggest(self, trial: optuna.Trial) -> None:
        """Has a trial suggest a value for each hyper-parameter whose condition holds.

        Args:
            trial: the trial, which keeps the values.
        """
        for name, distribution in self.distributions.items():
            if self.holds(name, trial.params):
                _suggest(trial, name, distribution)

    def holds(self, name: str, params: Mapping[str, Any]) -> bool:
        """Returns whether the condition of a searched hyper-parameter holds.

        Args:
            name: the name of the hyper-parameter.
            params: the values of searched hyper-parameters, by name.
        """
        return all(
            key in params and params[key] in values for key, values in self.conditions[name].items()
        )

    def condition(self, name: str) -> str:
        """Formats the condition of a searched hyper-parameter, such as `optimizer is sgd`.

        Args:
            name: the name of the hyper-parameter.

        Returns:
            The condition; empty if there is none.
        """
        parts = (
            f"{key} is {' or '.join(map(wording.value, values))}"
            for key, values in self.conditions[name].items()
        )
        return " and ".join(parts)

    def resolve(self, params: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Completes searched hyper-parameters with the values of the recipe.

        Args:
            params: the values of searched hyper-parameters, by name.

        Returns:
            All hyper-parameters of the variant, by name.
        """
        return self._recipe.complete(params)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """Returns the point of trial 0: the recipe's values where their conditions hold."""
        return self.point({})

    def point(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Completes a partial point with the values of the recipe.

        Args:
            values: the values of searched hyper-parameters, by name.

        Returns:
            The value of each searched hyper-parameter whose condition holds. A value outside its
            range is left out, so that the sampler chooses it.
        """
        whole = {**self.resolve({}), **values}
        found: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            if self.holds(name, found) and contains(distribution, whole[name]):
                found[name] = whole[name]
        return found

    def budget(self, profile: Profile, role: Role) -> Budget:
        """Returns the budget of a run with the recipe's hyper-parameters: see `Recipe.budget`.

        Args:
            profile: the profile of the sweep.
            role: the role of the run.
        """
        batch_size = cast(int, self.resolve({})["batch_size"])
        return self._recipe.budget(profile, role, batch_size=batch_size)

    def identity(self) -> dict[str, JsonValue]:
        """Returns what must be equal in two spaces for a study to grow, as JSON values by name."""
        return {
            "search": {n: repr(d) for n, d in self.distributions.items()},
            "when": {n: repr(c) for n, c in self.conditions.items() if c},
            # Without the defaults of hyper-parameters that were added later: studies stay equal.
            "defaults": self._recipe.resolve({}),
        }


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Returns whether a range or choices contain a value.

    Args:
        distribution: the range or choices.
        value: the value.
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            # True equals 1 in Python.
            return any(
                c == value and isinstance(c, bool) == isinstance(value, bool) for c in choices
            )
        case FloatDistribution() | IntDistribution():
            if isinstance(value, bool) or not isinstance(value, int | float):
                return False
            low, high, step = distribution.low, distribution.high, distribution.step
            if not low <= value <= high:  # a number may be too large to divide
                return False
            steps = 0.0 if step is None else (value - low) / step
            return abs(steps - round(steps)) < 1e-6
    raise AssertionError(f"no such distribution: {distribution}")


def range_text(distribution: BaseDistribution) -> str:
    """Formats a range or choices for people.

    Args:
        distribution: the range or choices.

    Returns:
        Text such as `0.001 … 0.1`.
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return wording.choices(choices)
        case FloatDistribution() | IntDistribution():
            low, high, step = distribution.low, distribution.high, distribution.step
            plain = step is None or (isinstance(distribution, IntDistribution) and step == 1)
            steps = "" if plain else f" in steps of {wording.value(step)}"
            return f"{wording.value(low)} … {wording.value(high)}{steps}"
    raise AssertionError(f"no such distribution: {distribution}")


def load_space(
    variant: str,
    cls: type[Variant],
    profile: ProfileName,
    path: Path | None = None,
    *,
    dataset: str | None = None,
    changes: Section | None = None,
) -> Space:
    """Reads and checks the search space of a variant.

    Args:
        variant: the name of the variant.
        cls: the class of the variant.
        profile: the name of the profile.
        path: the space file; None: the file of the variant.
        dataset: the dataset whose presets are used; None: no presets.
        changes: entries that replace those of the file.

    Returns:
        The search space.

    Raises:
        InputError: if an entry is unknown or has a wrong type, or a range does not contain the
            recipe's value.
    """
    file = SpaceFile(variant, cls.Config, path, changes)
    recipe = load_recipe_of(variant, cls, dataset or "", profile, path, changes)
    space = _Reader(file).make_space(recipe, profile)
    where = f"profile {profile.value}" + (f" on {dataset}" if dataset else "")
    _require_recipe(file.name, space, where)
    return space


def _require_recipe(name: str, space: Space, where: str) -> None:
    """Checks that every range contains the recipe's value, which trial 0 tries.

    Raises:
        InputError: if a range does not.
    """
    recipe, values = space.recipe, space.resolve({})
    for key, distribution in space.distributions.items():
        if space.holds(key, recipe) and key not in recipe:
            value = wording.value(values[key])
            raise InputError(
                f"{name}: {where}: {key} is {value} in the recipe, which "
                f"{range_text(distribution)} does not contain: widen the range, or give another "
                "value in `set`"
            )


class _Reader:
    """Makes a search space from a space file, and checks each entry."""

    def __init__(self, file: SpaceFile) -> None:
        self.file, self.config = file, file.config

    def make_space(self, recipe: Recipe, profile: ProfileName) -> Space:
        """Makes the search space of a profile.

        Args:
            recipe: the recipe of the variant in this profile.
            profile: the name of the profile.

        Returns:
            The search space.

        Raises:
            InputError: if an entry is wrong.
        """
        given, varied = self.file.given(profile), self.file.section(profile).search
        if varied is None:
            varied = {name: {} for name in self.file.search if name not in given}
        distributions, conditions = self._searched(varied, recipe.complete({}), given)
        return Space(recipe, distributions, conditions, self._configuration())

    def _searched(
        self,
        varied: Mapping[str, dict[str, Any]],
        defaults: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> tuple[dict[str, BaseDistribution], dict[str, dict[str, list[Value]]]]:
        """Makes the ranges of the searched hyper-parameters, and the conditions among them.

        A condition on a hyper-parameter that is not searched is decided here, by its value in the
        recipe. If it does not hold, the entry is left out.
        """
        distributions: dict[str, BaseDistribution] = {}
        conditions: dict[str, dict[str, list[Value]]] = {}
        read: list[str] = []
        never: set[str] = set()
        for name, value in self.file.search.items():
            value = {**self.file.mapping(name, value), **varied.get(name, {})}
            entry = self._entry(name, value)
            distribution = self._distribution(name, entry)
            self.file.known(f"condition of {name}", entry.when, (*read, *given))
            when = {k: v if isinstance(v, list) else [v] for k, v in entry.when.items()}
            for key, values in when.items():
                self._possible(f"condition of {name}", key, values, distributions.get(key))
            read.append(name)
            settled = {k: v for k, v in when.items() if k not in distributions}
            if any(k in never or defaults[k] not in v for k, v in settled.items()):
                never.add(name)
            elif name in varied:
                distributions[name] = distribution
                conditions[name] = {k: v for k, v in when.items() if k in distributions}
        return distributions, conditions

    def _configuration(self) -> StudyConfiguration:
        value = self.file.mapping("study", self.file.study)
        self.file.known("setting of study", value, StudyConfiguration.model_fields)
        try:
            return StudyConfiguration.model_validate(value)
        except ValidationError as error:
            raise self.file.wrong("study", error) from None

    def _entry(self, name: str, value: Any) -> Entry:
        value = self.file.mapping(name, value)
        self.file.known(f"setting of {name}", value, Entry.model_fields)
        try:
            entry = Entry.model_validate(value)
        except ValidationError as error:
            raise self.file.wrong(name, error) from None
        if (entry.choices is None) == (entry.low is None or entry.high is None):
            raise InputError(
                f"{self.file.name}: {name} lacks a range: give low and high, or choices"
            )
        return entry

    def _distribution(self, name: str, entry: Entry) -> BaseDistribution:
        if entry.choices is not None:
            if not entry.choices:
                raise InputError(f"{self.file.name}: {name} has no choices: name at least one")
            for choice in entry.choices:
                self.file.check(name, {name: choice})
            return CategoricalDistribution(entry.choices)
        low, high = entry.low, entry.high
        assert low is not None
        assert high is not None
        annotation = self.config.model_fields[name].annotation
        types = get_args(annotation) or (annotation,)
        try:
            if float in types:
                distribution: BaseDistribution = FloatDistribution(
                    float(low), float(high), log=entry.log, step=entry.step
                )
            elif int in types and isinstance(low, int) and isinstance(high, int):
                step = 1 if entry.step is None else int(entry.step)
                distribution = IntDistribution(low, high, log=entry.log, step=step)
            else:
                raise InputError(
                    f"{self.file.name}: {name} takes {annotation}, which has no range from {low} "
                    f"to {high}: give choices, or bounds of its type"
                )
        except ValueError as error:
            raise InputError(f"{self.file.name}: {name}: {error}") from None
        for bound in (low, high):
            self.file.check(name, {name: bound})
        return distribution

    def _possible(
        self, where: str, key: str, values: list[Value], distribution: BaseDistribution | None
    ) -> None:
        """Checks that a condition can hold.

        Raises:
            InputError: if none of its values is among the choices.
        """
        for value in values:
            self.file.check(where, {key: value})
        if distribution is None:  # the hyper-parameter is not searched
            return
        choices = getattr(distribution, "choices", ())
        if not any(value in choices for value in values):
            raise InputError(
                f"{self.file.name}: {where}: {key} is never {values}: name one of its choices"
            )
