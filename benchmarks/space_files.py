"""Reads `sweeps/spaces/<variant>.yaml`: what a variant's runs set and spend, and studies search.

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

`search` says what studies vary: sweeps/space.py reads it. `fixed` says what runs set apart from the
variant's defaults under every profile. A profile may have three entries:

- `set`: values apart from the defaults in this profile.
- `search`: which names of the section `search` the studies of this profile vary, as a list, or as a
  mapping whose entries replace parts of the section's (a narrower range). Left out: all that `set`
  does not give.
- `budget`: fields of the profile's budget that differ for this variant.

`study` says how studies search: see sweeps/strategy.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.profiles import ProfileName
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget
from models.registry import nearest
from models.variant import Hyperparameters

FOLDER = Path(__file__).resolve().parent.parent / "sweeps" / "spaces"


class Section(BaseModel):
    """What a space file says of one profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: dict[str, Any] = {}
    search: dict[str, dict[str, Any]] | None = None
    budget: dict[str, int] = {}


class SpaceFile:
    """A variant's space file, checked but for the ranges of `search`.

    Args:
        variant: its name.
        config: the class of its hyper-parameters.
        path: the file; by default that of the variant in `sweeps/spaces`.

    Raises:
        InputError: if there is no file, for an unknown or ill-typed entry, with the nearest known
            one.
    """

    def __init__(
        self, variant: str, config: type[Hyperparameters], path: Path | None = None
    ) -> None:
        self.path, self.config = path or FOLDER / f"{variant}.yaml", config
        content = self.mapping("the file", self._content(variant))
        self.known("section", content, ("search", "fixed", "profiles", "study"))
        self.fixed = self.mapping("fixed", content.get("fixed") or {})
        """Hyper-parameters set apart from the defaults under every profile."""
        self.check("fixed", self.fixed)
        self.search = self.mapping("search", content.get("search") or {})
        """By hyper-parameter, its range or choices, as the file has them."""
        self.known("hyper-parameter", self.search, config.model_fields)
        self.study = content.get("study") or {}
        """How studies search, as the file has it."""
        profiles = self.mapping("profiles", content.get("profiles") or {})
        self.known("profile", profiles, [name.value for name in ProfileName])
        self._sections = {n: self._section(f"profile {n}", v) for n, v in profiles.items()}

    def section(self, profile: ProfileName) -> Section:
        """Returns what the file says of a profile: nothing, if the file does not name it."""
        return self._sections.get(profile.value, Section())

    def given(self, profile: ProfileName) -> dict[str, Any]:
        """Returns the hyper-parameters that are set apart from the defaults under a profile."""
        return {**self.fixed, **self.section(profile).set}

    def mapping(self, what: str, value: Any) -> dict[str, Any]:
        """Returns a mapping of names unchanged. Raises InputError for anything else."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise InputError(f"{self.path.name}: {what} must be a mapping of names, not {value!r}")
        return value

    def known(self, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
        """Raises InputError for the first of `names` that is not among `known`."""
        known = list(known)
        for name in names:
            if name not in known:
                raise InputError(
                    f"{self.path.name}: no {kind} is called {name!r}: {nearest(name, known)}"
                )

    def check(self, where: str, values: dict[str, Any]) -> None:
        """Raises InputError for an unknown hyper-parameter, or one of another type or bound."""
        self.known("hyper-parameter", values, self.config.model_fields)
        try:
            self.config.model_validate(values, strict=True)
        except ValidationError as error:
            raise self.wrong(where, error) from None

    def wrong(self, where: str, error: ValidationError) -> InputError:
        """Makes the error of an entry from the first thing that pydantic finds wrong."""
        first = error.errors()[0]
        spot = ".".join(str(part) for part in first["loc"]) or where
        return InputError(f"{self.path.name}: {where}: {spot}: {first['msg']}")

    def _content(self, variant: str) -> Any:
        try:
            return _parsed(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"{variant} has no search space: write {self.path.name} into sweeps/spaces"
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.path.name} is not readable YAML ({reason}): mend it") from None

    def _section(self, where: str, value: Any) -> Section:
        value = self.mapping(where, value or {})
        self.known(f"entry of {where}", value, Section.model_fields)
        given = self.mapping(f"set of {where}", value.get("set") or {})
        self.check(where, given)
        budget = self.mapping(f"budget of {where}", value.get("budget") or {})
        self.known(f"budget of {where}", budget, Budget.model_fields.keys() - {"profile"})
        try:
            Budget.model_validate({"profile": "", "epochs": 1, "validation_samples": 10, **budget})
        except ValidationError as error:
            raise self.wrong(f"budget of {where}", error) from None
        return Section(set=given, search=self._varied(where, value.get("search")), budget=budget)

    def _varied(self, where: str, value: Any) -> dict[str, dict[str, Any]] | None:
        if value is None:
            return None
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            value = dict.fromkeys(value)
        value = self.mapping(f"search of {where}", value)
        self.known(f"search of {where}", value, self.search)
        return {name: self.mapping(name, entry or {}) for name, entry in value.items()}


@lru_cache(maxsize=64)  # a sweep reads each file once for every dataset
def _parsed(text: str) -> Any:
    return yaml.safe_load(text) or {}
