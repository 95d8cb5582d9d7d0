"""Search spaces: `spaces/<variant>.yaml`, checked against the variant's hyper-parameters.

    search:
      lr: {low: 1.0e-4, high: 1.0e-2, log: true}
      optimizer: {choices: [sgd, radam]}
      momentum: {low: 0.5, high: 0.99, when: {optimizer: sgd}}
    fixed: {size: 64}
    profiles:
      smoke: {set: {channels: 8}}
      quick:
        set: {lr: 3.0e-3, channels: 16}
        search: {lr: {low: 1.0e-3}, momentum: }
        budget: {epochs: 5}
    study: {sampler: tpe, pruner: median}

`search` says what studies vary; a condition (`when`) names an earlier entry and the value, or the
list of values, under which the entry counts. `fixed` says what all sweeps set apart from the
variant's defaults. A profile may have three entries:

- `set`: values apart from the defaults in this profile.
- `search`: which names of the section `search` the studies of this profile vary, as a list, or as a
  mapping whose entries replace parts of the section's (a narrower range). Left out: all that `set`
  does not give.
- `budget`: fields of the profile's budget that differ for this variant.

The recipe is: defaults, then the variant's presets for the dataset, then `fixed`, then `set`. It is
trial 0 of each study, so every searched range must contain its value. `study` says how studies
search: see strategy.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast, get_args

import optuna
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, ConfigDict, JsonValue, StrictFloat, StrictInt, ValidationError

from benchmarks import wording
from benchmarks.profiles import Name, Profile
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget, Role
from models.registry import nearest
from models.variant import Hyperparameters, Variant
from sweeps.strategy import Strategy

FOLDER = Path(__file__).parent / "spaces"

Value = bool | int | float | str | None
Number = StrictInt | StrictFloat


class Entry(BaseModel):
    """What may be said of one searched hyper-parameter: a range, or choices."""

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
    """One variant's search space under one profile."""

    def __init__(
        self,
        distributions: dict[str, BaseDistribution],
        conditions: dict[str, dict[str, list[Value]]],
        defaults: Mapping[str, JsonValue],
        config: type[Hyperparameters],
        strategy: Strategy,
        budget_changes: Mapping[str, int],
    ) -> None:
        self.strategy = strategy
        self.distributions = distributions
        self.conditions = conditions
        self.budget_changes = budget_changes
        """Fields of the profile's budget that differ for this variant."""
        self._defaults = defaults
        self._config = config

    def suggest(self, trial: optuna.Trial) -> None:
        """Asks a trial for each entry whose condition holds."""
        for name, distribution in self.distributions.items():
            if self.holds(name, trial.params):
                _suggest(trial, name, distribution)

    def holds(self, name: str, params: Mapping[str, Any]) -> bool:
        """Says whether an entry counts beside these: whether its condition holds."""
        return all(
            key in params and params[key] in values for key, values in self.conditions[name].items()
        )

    def condition(self, name: str) -> str:
        """Writes the condition of an entry, such as `optimizer is sgd`; empty where it has none."""
        parts = (
            f"{key} is {' or '.join(map(wording.value, values))}"
            for key, values in self.conditions[name].items()
        )
        return " and ".join(parts)

    def resolve(self, params: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Completes proposed hyper-parameters by those of the recipe."""
        return self._config.model_validate({**self._defaults, **params}).model_dump(mode="json")

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """What trial 0 tries: of each entry whose condition holds, the recipe's value."""
        return self.point({})

    def point(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Completes a partial point.

        Args:
            values: searched hyper-parameters, by name.

        Returns:
            Every entry whose condition holds: as `values` says, or else as the recipe does. An
            entry that counts here but not in the recipe is left to the sampler where its range
            does not contain the recipe's value.
        """
        whole = {**self.resolve({}), **values}
        found: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            if self.holds(name, found) and contains(distribution, whole[name]):
                found[name] = whole[name]
        return found

    def budget(self, variant: str, dataset: str, *, profile: Profile, role: Role) -> Budget:
        """Says what a run of the variant, whose space this is, may spend: see `Profile.budget`."""
        return profile.budget(
            variant,
            dataset,
            batch_size=cast(int, self.resolve({})["batch_size"]),
            role=role,
            changes=self.budget_changes,
        )

    def identity(self) -> dict[str, JsonValue]:
        """What makes two spaces the same to a study."""
        return {
            "search": {n: repr(d) for n, d in self.distributions.items()},
            "when": {n: repr(c) for n, c in self.conditions.items() if c},
            "defaults": self.resolve({}),
        }


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Says whether a distribution can propose a value."""
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
    """Writes a range or choices as a person would."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return wording.choices(choices)
        case FloatDistribution() | IntDistribution():
            low, high, step = distribution.low, distribution.high, distribution.step
            plain = step is None or (isinstance(distribution, IntDistribution) and step == 1)
            steps = "" if plain else f" in steps of {wording.value(step)}"
            return f"{wording.value(low)} … {wording.value(high)}{steps}"
    raise AssertionError(f"no such distribution: {distribution}")


def load(
    variant: str,
    cls: type[Variant],
    profile: Name,
    path: Path | None = None,
    *,
    dataset: str | None = None,
) -> Space:
    """Reads and checks a variant's space, with its presets for a dataset.

    Raises:
        InputError: for an unknown or ill-typed entry, with the nearest known one; for a range that
            does not contain the recipe's value.
    """
    path = path or FOLDER / f"{variant}.yaml"
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{variant} has no search space: write {path.name} into sweeps/spaces"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path.name} is not readable YAML ({reason}): mend it") from None
    _known(
        path,
        "section",
        _mapping(path, "the file", content),
        ("search", "fixed", "profiles", "study"),
    )
    space = _Reader(path, cls.Config).read(content, profile, cls.presets.get(dataset or "", {}))
    _require_recipe(path, space, f"profile {profile.value}" + (f" on {dataset}" if dataset else ""))
    return space


@lru_cache(maxsize=64)  # a sweep reads each file once for every dataset
def _parsed(text: str) -> Any:
    return yaml.safe_load(text) or {}


def _require_recipe(path: Path, space: Space, where: str) -> None:
    """Raises InputError where a range does not contain what trial 0 is to try."""
    recipe, values = space.recipe, space.resolve({})
    for name, distribution in space.distributions.items():
        if space.holds(name, recipe) and name not in recipe:
            value = wording.value(values[name])
            raise InputError(
                f"{path.name}: {where}: {name} is {value} in the recipe, which "
                f"{range_text(distribution)} does not contain: widen the range, or give another "
                "value in the profile's `set`"
            )


class _Section(BaseModel):
    """What a space file may say of one profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: dict[str, Any] = {}
    search: dict[str, dict[str, Any]] | None = None
    budget: dict[str, int] = {}


class _Reader:
    def __init__(self, path: Path, config: type[Hyperparameters]) -> None:
        self.path, self.config = path, config

    def read(
        self, content: dict[str, Any], profile: Name, presets: Mapping[str, JsonValue]
    ) -> Space:
        fixed = _mapping(self.path, "fixed", content.get("fixed") or {})
        self._check("fixed", fixed)
        search = _mapping(self.path, "search", content.get("search") or {})
        _known(self.path, "hyper-parameter", search, self.config.model_fields)
        profiles = _mapping(self.path, "profiles", content.get("profiles") or {})
        _known(self.path, "profile", profiles, [n.value for n in Name])
        sections = {n: self._section(f"profile {n}", v, search) for n, v in profiles.items()}
        section = sections.get(profile.value, _Section())
        given = {**fixed, **section.set}
        if section.search is None:
            varied: Mapping[str, dict[str, Any]] = {n: {} for n in search if n not in given}
        else:
            varied = section.search
        defaults = self.config.model_validate({**presets, **given}).model_dump(mode="json")
        distributions, conditions = self._searched(search, varied, defaults, given)
        strategy = self._strategy(content.get("study") or {})
        return Space(
            distributions,
            conditions,
            {**presets, **given},
            self.config,
            strategy,
            section.budget,
        )

    def _searched(
        self,
        search: dict[str, Any],
        varied: Mapping[str, dict[str, Any]],
        defaults: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> tuple[dict[str, BaseDistribution], dict[str, dict[str, list[Value]]]]:
        """The ranges of what is varied, and the conditions that are decided trial by trial.

        A condition on what is not varied is decided here, by the recipe's value.
        """
        distributions: dict[str, BaseDistribution] = {}
        conditions: dict[str, dict[str, list[Value]]] = {}
        read: list[str] = []
        never: set[str] = set()
        for name, value in search.items():
            value = {**_mapping(self.path, name, value), **varied.get(name, {})}
            entry = self._entry(name, value)
            distribution = self._distribution(name, entry)
            _known(self.path, f"condition of {name}", entry.when, (*read, *given))
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

    def _section(self, where: str, value: Any, search: Mapping[str, Any]) -> _Section:
        value = _mapping(self.path, where, value or {})
        _known(self.path, f"entry of {where}", value, _Section.model_fields)
        given = _mapping(self.path, f"set of {where}", value.get("set") or {})
        self._check(where, given)
        budget = _mapping(self.path, f"budget of {where}", value.get("budget") or {})
        _known(self.path, f"budget of {where}", budget, Budget.model_fields.keys() - {"profile"})
        varied = value.get("search")
        if isinstance(varied, list) and all(isinstance(name, str) for name in varied):
            varied = dict.fromkeys(varied)
        if varied is not None:
            varied = _mapping(self.path, f"search of {where}", varied)
            _known(self.path, f"search of {where}", varied, search)
            varied = {n: _mapping(self.path, n, v or {}) for n, v in varied.items()}
        try:
            Budget.model_validate({"profile": "", "epochs": 1, "validation_samples": 10, **budget})
        except ValidationError as error:
            raise self._wrong(f"budget of {where}", error) from None
        return _Section(set=given, search=varied, budget=budget)

    def _strategy(self, value: Any) -> Strategy:
        value = _mapping(self.path, "study", value)
        _known(self.path, "setting of study", value, Strategy.model_fields)
        try:
            return Strategy.model_validate(value)
        except ValidationError as error:
            raise self._wrong("study", error) from None

    def _entry(self, name: str, value: Any) -> Entry:
        value = _mapping(self.path, name, value)
        _known(self.path, f"setting of {name}", value, Entry.model_fields)
        try:
            entry = Entry.model_validate(value)
        except ValidationError as error:
            raise self._wrong(name, error) from None
        if (entry.choices is None) == (entry.low is None or entry.high is None):
            raise InputError(f"{self.path.name}: {name} needs low and high, or choices")
        return entry

    def _distribution(self, name: str, entry: Entry) -> BaseDistribution:
        if entry.choices is not None:
            if not entry.choices:
                raise InputError(f"{self.path.name}: {name} has no choices: name one at least")
            for choice in entry.choices:
                self._check(name, {name: choice})
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
                    f"{self.path.name}: {name} takes {annotation}, which has no range from {low} "
                    f"to {high}: give choices, or bounds of its type"
                )
        except ValueError as error:
            raise InputError(f"{self.path.name}: {name}: {error}") from None
        for bound in (low, high):
            self._check(name, {name: bound})
        return distribution

    def _possible(
        self, where: str, key: str, values: list[Value], distribution: BaseDistribution | None
    ) -> None:
        """A condition that can never hold is a mistake."""
        for value in values:
            self._check(where, {key: value})
        if distribution is None:  # it is not varied
            return
        choices = getattr(distribution, "choices", ())
        if not any(value in choices for value in values):
            raise InputError(
                f"{self.path.name}: {where}: {key} never is {values}: name one of its choices"
            )

    def _check(self, where: str, values: dict[str, Any]) -> None:
        _known(self.path, "hyper-parameter", values, self.config.model_fields)
        try:
            self.config.model_validate(values, strict=True)
        except ValidationError as error:
            raise self._wrong(where, error) from None

    def _wrong(self, where: str, error: ValidationError) -> InputError:
        first = error.errors()[0]
        spot = ".".join(str(part) for part in first["loc"]) or where
        return InputError(f"{self.path.name}: {where}: {spot}: {first['msg']}")


def _mapping(path: Path, what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{path.name}: {what} must be a mapping of names, not {value!r}")
    return value


def _known(path: Path, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise InputError(f"{path.name}: no {kind} is called {name!r}: {nearest(name, known)}")
