"""Search spaces: `spaces/<variant>.yaml`, checked against the variant's hyper-parameters.

    search:
      lr: {low: 1.0e-4, high: 1.0e-2, log: true}
      optimizer: {choices: [sgd, radam]}
      momentum: {low: 0.5, high: 0.99, when: {optimizer: sgd}}
    fixed: {size: 64}
    profiles:
      smoke: {channels: 8}
    study: {sampler: tpe, pruner: median}

`search` says what a study varies; a condition (`when`) names an earlier entry and the value, or the
list of values, under which the entry counts. `fixed` says what all sweeps set apart from the
variant's defaults, `profiles` what one profile does; what they set is not searched. Below all these
come the presets that the variant has for a dataset (`Variant.presets`), then its defaults. `study`
says how studies search: see strategy.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import optuna
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, ConfigDict, JsonValue, StrictFloat, StrictInt, ValidationError

from benchmarks.errors import InputError
from benchmarks.profiles import Name
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
        fixed: dict[str, JsonValue],
        presets: Mapping[str, JsonValue],
        config: type[Hyperparameters],
        strategy: Strategy,
    ) -> None:
        self.strategy = strategy
        self.distributions = distributions
        self.conditions = conditions
        self.fixed = fixed
        self._base = {**presets, **fixed}
        self._config = config

    def suggest(self, trial: optuna.Trial) -> None:
        """Asks a trial for each entry whose condition holds."""
        for name, distribution in self.distributions.items():
            if self.holds(name, trial.params):
                _suggest(trial, name, distribution)

    def holds(self, name: str, params: dict[str, Any]) -> bool:
        """Whether an entry counts beside these."""
        return all(
            key in params and params[key] in values for key, values in self.conditions[name].items()
        )

    def resolve(self, params: dict[str, Any]) -> dict[str, JsonValue]:
        """All hyper-parameters: proposed ones, the profile's, presets, and the defaults."""
        return self._config.model_validate({**self._base, **params}).model_dump(mode="json")

    def identity(self) -> dict[str, JsonValue]:
        """What makes two spaces the same to a study."""
        return {
            "search": {n: repr(d) for n, d in self.distributions.items()},
            "when": {n: repr(c) for n, c in self.conditions.items() if c},
            "defaults": self._config.model_validate(self._base).model_dump(mode="json"),
        }


def load(
    variant: str,
    cls: type[Variant],
    profile: Name,
    path: Path | None = None,
    *,
    dataset: str | None = None,
) -> Space:
    """Reads and checks a variant's space, with its presets for a dataset.

    Raises InputError for an unknown or ill-typed entry, and names the nearest known one.
    """
    path = path or FOLDER / f"{variant}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
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
    return _Reader(path, cls.Config).read(content, profile, cls.presets.get(dataset or "", {}))


class _Reader:
    def __init__(self, path: Path, config: type[Hyperparameters]) -> None:
        self.path, self.config = path, config

    def read(
        self, content: dict[str, Any], profile: Name, presets: Mapping[str, JsonValue]
    ) -> Space:
        fixed = _mapping(self.path, "fixed", content.get("fixed") or {})
        self._check("fixed", fixed)
        profiles = _mapping(self.path, "profiles", content.get("profiles") or {})
        _known(self.path, "profile", profiles, [n.value for n in Name])
        for name, values in profiles.items():
            values = _mapping(self.path, f"profile {name}", values or {})
            self._check(f"profile {name}", values)
            if name == profile.value:
                fixed = {**fixed, **values}
        search = _mapping(self.path, "search", content.get("search") or {})
        _known(self.path, "hyper-parameter", search, self.config.model_fields)
        distributions: dict[str, BaseDistribution] = {}
        conditions: dict[str, dict[str, list[Value]]] = {}
        for name, value in search.items():
            entry = self._entry(name, value)
            distribution = self._distribution(name, entry)
            _known(
                self.path, f"condition of {name}", entry.when, tuple(distributions) + tuple(fixed)
            )
            when = {k: v if isinstance(v, list) else [v] for k, v in entry.when.items()}
            for key, values in when.items():
                self._possible(f"condition of {name}", key, values, distributions.get(key))
            if name in fixed:
                continue
            if any(k in fixed and fixed[k] not in v for k, v in when.items()):
                continue
            distributions[name] = distribution
            conditions[name] = {k: v for k, v in when.items() if k not in fixed}
        strategy = self._strategy(content.get("study") or {})
        return Space(distributions, conditions, fixed, presets, self.config, strategy)

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
        if distribution is None:  # a profile sets the entry
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
