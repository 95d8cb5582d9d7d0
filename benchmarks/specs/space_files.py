"""Reads space files, `sweeps/spaces/<variant>.yaml`: what runs set and spend, and studies search.

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

The section `search` lists the hyper-parameters that studies vary; sweeps/studies/space.py reads it.
The section `fixed` lists values that replace the variant's defaults under every profile. A profile
may have three entries:

- `set`: values that replace the defaults under this profile.
- `search`: the hyper-parameters that the studies of this profile vary, as a list of names from the
  section `search`, or as a mapping whose entries replace parts of that section, for instance by a
  narrower range. By default, studies vary all hyper-parameters of the section `search` that `set`
  does not name.
- `budget`: fields of the profile's budget that differ for this variant.

The section `study` says how studies search: see sweeps/studies/study_configuration.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.yaml_files import parse_yaml
from models import registry
from models.registry import nearest

if TYPE_CHECKING:
    from models.variant import Hyperparameters  # imports torch

FOLDER = Path(__file__).resolve().parents[2] / "sweeps" / "spaces"


class Section(BaseModel):
    """Holds the entries of a space file for one profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: dict[str, Any] = {}
    search: dict[str, dict[str, Any]] | None = None
    budget: dict[str, int] = {}


class SpaceFile:
    """Reads and validates a space file, except the ranges in `search` and the section `study`.

    Args:
        variant: the name of the variant.
        config: the class of its hyper-parameters.
        path: the file; by default the variant's file in `sweeps/spaces`.
        changes: replaces entries of the file under every profile. The values that it sets are not
            searched; if it has ranges, studies vary exactly these.

    Raises:
        InputError: if the file is missing, or an entry is unknown or has a wrong type.
    """

    def __init__(
        self,
        variant: str,
        config: type[Hyperparameters],
        path: Path | None = None,
        changes: Section | None = None,
    ) -> None:
        self.path, self.config = path or FOLDER / f"{variant}.yaml", config
        self._added = path is None
        self._changes = changes or Section()
        self.name = self._named(variant)
        """Names in messages what the entries come from."""
        content = self.mapping("its content", self._content(variant))
        self.known("section", content, ("search", "fixed", "profiles", "study"))
        self.fixed = self.mapping("fixed", content.get("fixed") or {})
        """By hyper-parameter, the value that replaces the default under every profile."""
        self.check("fixed", self.fixed)
        self.search = self.mapping("search", content.get("search") or {})
        """By hyper-parameter, its range or choices, not validated."""
        self.known("hyper-parameter", self.search, config.model_fields)
        self.study = content.get("study") or {}
        """The section `study`, not validated."""
        profiles = self.mapping("profiles", content.get("profiles") or {})
        self.known("profile", profiles, [name.value for name in ProfileName])
        self._sections = {n: self._section(f"profile {n}", v) for n, v in profiles.items()}
        self._check_changes(self._changes)

    def section(self, profile: ProfileName) -> Section:
        """Returns the entries for a profile; they are empty if the file does not name it."""
        of_file, changes = self._sections.get(profile.value, Section()), self._changes
        search = of_file.search if changes.search is None else changes.search
        if search is not None:
            search = {name: entry for name, entry in search.items() if name not in changes.set}
        return Section(
            set={**of_file.set, **changes.set},
            search=search,
            budget={**of_file.budget, **changes.budget},
        )

    def given(self, profile: ProfileName) -> dict[str, Any]:
        """Returns the values that replace defaults under a profile, by hyper-parameter."""
        return {**self.fixed, **self.section(profile).set}

    def mapping(self, what: str, value: Any) -> dict[str, Any]:
        """Checks that a value of the file is a mapping whose keys are texts.

        Args:
            what: names the value in the message.
            value: the value.

        Returns:
            The value, unchanged.

        Raises:
            InputError: if the value is not such a mapping.
        """
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise InputError(f"{self.name}: {what} must be a mapping of names, not {value!r}")
        return value

    def known(self, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
        """Checks that names of the file are known.

        Args:
            kind: what a name stands for, such as `profile`, in the message.
            names: the names to check.
            known: the known names.

        Raises:
            InputError: if a name is unknown; the message proposes the nearest known name.
        """
        known = list(known)
        for name in names:
            if name not in known:
                raise InputError(
                    f"{self.name}: no {kind} is called {name!r}: {nearest(name, known)}"
                )

    def check(self, where: str, values: dict[str, Any]) -> None:
        """Checks values of hyper-parameters in the file.

        Args:
            where: the place in the file, for the message.
            values: the values by hyper-parameter.

        Raises:
            InputError: if a name is unknown, or a value has a wrong type or is out of bounds.
        """
        self.known("hyper-parameter", values, self.config.model_fields)
        try:
            self.config.model_validate(values, strict=True)
        except ValidationError as error:
            raise self.wrong(where, error) from None

    def wrong(self, where: str, error: ValidationError) -> InputError:
        """Returns the error for a wrong entry, which names the first fault that pydantic found.

        Args:
            where: the place in the file, for the message.
            error: pydantic's error.
        """
        first = error.errors()[0]
        spot = ".".join(str(part) for part in first["loc"]) or where
        return InputError(f"{self.name}: {where}: {spot}: {first['msg']}")

    def _named(self, variant: str) -> str:
        if self._changes.set or self._changes.search:
            return f"the experiment's entries for {variant}"
        return f"the space of {variant}" if self._of_user(variant) else self.path.name

    def _of_user(self, variant: str) -> bool:
        """Returns whether the variant is in a user's file, and its space is that of its class."""
        entry = registry.available().get(variant)
        return self._added and entry is not None and entry.sha256 is not None

    def _content(self, variant: str) -> Any:
        if self._of_user(variant):
            return registry.variant(variant).space
        try:
            return _parsed(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"{variant} has no space file: write {self.path.name} into sweeps/spaces"
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.path.name} is not readable YAML ({reason}): correct it"
            ) from None

    def _check_changes(self, changes: Section) -> None:
        """Checks changes, and adds their ranges to those of the file."""
        self.check("set", changes.set)
        self.known("hyper-parameter", changes.search or (), self.config.model_fields)
        for name, entry in (changes.search or {}).items():
            self.search = {**self.search, name: {**self.search.get(name, {}), **entry}}

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


@lru_cache(maxsize=64)  # a sweep asks for each file again for each dataset
def _parsed(text: str) -> Any:
    return parse_yaml(text) or {}
