"""Reads the file of an experiment, which `capsbench sweep experiment.yaml` sweeps.

    variants: [cnn, ./mynet.py]
    datasets: [mnist, usps]
    profile: quick
    trials: 20
    finals: 5
    epochs: 3
    train_samples: 2000
    precision: bf16-mixed
    set:
      cnn: {width: 32}
    search:
      cnn:
        lr: {low: 1.0e-4, high: 1.0e-2, log: true}

Every key is optional. `set` gives values of hyper-parameters that all runs of the variant have;
`search` gives the ranges that the study of the variant searches, in the form of a space file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from benchmarks import datasets
from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.spec import Precision
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.space_files import Section
from benchmarks.specs.yaml_files import parse_yaml
from models import registry
from models.registry import nearest
from sweeps.options import EngineName
from sweeps.studies.study_configuration import Sampler

SEEDS = "seeds"
"""The other name of `finals`, as on the command line."""


class Experiment(BaseModel):
    """Holds the content of an experiment's file. None means the option of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variants: list[str] = []
    datasets: list[str] = []
    profile: ProfileName | None = None
    trials: int | None = None
    finals: int | None = Field(None, validation_alias=AliasChoices("finals", SEEDS))
    epochs: int | None = None
    train_samples: int | None = None
    precision: Precision | None = None
    sampler: Sampler | None = None
    engine: EngineName | None = None
    workers: int | None = None
    values: dict[str, dict[str, Any]] = Field({}, alias="set")
    search: dict[str, dict[str, dict[str, Any]]] = {}

    @property
    def files(self) -> list[Path]:
        """Returns the Python files among `variants`."""
        return [Path(name) for name in self.variants if name.endswith(".py")]

    def patterns(self, added: Mapping[Path, Sequence[str]]) -> tuple[str, ...]:
        """Returns the patterns of the cells of all `variants`; none if the file names no variant.

        Args:
            added: by Python file among `variants`, the names of the variants that it registers.
        """
        return tuple(f"{name}/*" for name in self._names(added))

    def _names(self, added: Mapping[Path, Sequence[str]]) -> list[str]:
        """Lists the names, or patterns of names, of all `variants`."""
        names: list[str] = []
        for text in self.variants:
            names += added[Path(text)] if text.endswith(".py") else [text]
        return names

    def require_known(self, path: Path, added: Mapping[Path, Sequence[str]]) -> None:
        """Checks all names of variants and datasets.

        Args:
            path: the file of the experiment.
            added: by Python file among `variants`, the names of the variants that it registers.

        Raises:
            InputError: if a variant or a dataset is unknown.
        """
        variants = registry.available()
        for name in self._names(added):
            if not any(fnmatchcase(variant, name) for variant in variants):
                raise InputError(f"{path}: {registry.unknown_variant(name)}")
        for name in sorted({*self.values, *self.search}):
            if name not in variants:
                raise InputError(f"{path}: {registry.unknown_variant(name)}")
        known = (*datasets.names(), *datasets.own_names())
        for name in self.datasets:
            if name not in known:
                raise InputError(
                    f"{path}: no dataset is called {name!r}: {datasets.hint(name, known)}"
                )

    @property
    def options(self) -> dict[str, Any]:
        """Returns the options that the file names, as values by field of `Options`."""
        own = {"variants", "datasets", "values", "search"}
        return self.model_dump(exclude=own, exclude_none=True)

    def changes(self, added: Mapping[Path, Sequence[str]]) -> dict[str, Section]:
        """Collects what replaces entries of space files.

        Args:
            added: by Python file among `variants`, the names of the variants that it registers.

        Returns:
            The replacing entries, by variant.

        Raises:
            InputError: if the file does not sweep a variant.
        """
        named, swept = {*self.values, *self.search}, self._names(added)
        for name in sorted(named):
            if swept and not any(fnmatchcase(name, pattern) for pattern in swept):
                raise InputError(
                    f"the experiment has values or ranges of {name}, which is not among its "
                    f"variants ({', '.join(swept)}): add it to them, or leave its entries out"
                )
        return {
            name: Section(set=self.values.get(name, {}), search=self.search.get(name))
            for name in sorted(named)
        }


def read_experiment(path: Path) -> Experiment:
    """Reads the file of an experiment.

    Args:
        path: a YAML file.

    Returns:
        The experiment. Relative paths of Python files start at the folder of the YAML file.

    Raises:
        InputError: if the file cannot be read, or a key or value is unknown.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not readable YAML ({reason}): correct it") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must be a mapping of keys such as `variants` and `datasets`")
    known = ["set" if name == "values" else name for name in Experiment.model_fields]
    known.insert(known.index("finals") + 1, SEEDS)
    for key in content:
        if key not in known:
            raise InputError(f"{path}: the key {key!r} is unknown: {nearest(str(key), known)}")
    if "finals" in content and SEEDS in content:
        raise InputError(f"{path} has finals and seeds, which are one option: leave one out")
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from None
    placed = [
        str(path.parent / name) if name.endswith(".py") else name for name in experiment.variants
    ]
    return experiment.model_copy(update={"variants": placed})
