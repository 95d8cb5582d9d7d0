"""How runs are shown in Weights & Biases: what command lines say of it. Importing this is cheap."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import Any

from benchmarks.errors import InputError
from benchmarks.spec import RunSpec
from models.registry import nearest


@dataclass(frozen=True)
class Logging:
    """How a run is shown in Weights & Biases; it decides no number."""

    project: str = "capsbench"
    team: str | None = None
    name: str = "{run_id}"
    """A pattern: `{variant}-{lr:.0e}` of hyper-parameters and what `fields` adds to them."""
    upload: bool = False
    every: int = 1
    """Epochs between those that are shown; the last is shown always."""

    @staticmethod
    def fields(spec: RunSpec) -> dict[str, Any]:
        """What a name may be made from."""
        return {
            **spec.hyperparameters,
            "run_id": spec.run_id,
            "variant": spec.variant,
            "dataset": spec.dataset,
            "profile": spec.budget.profile,
            "role": spec.role,
            "seed": spec.seed,
        }

    def name_of(self, spec: RunSpec) -> str:
        """The run's name. Raises InputError for a pattern that gives none.

        A base is called by its id: the pattern may be of hyper-parameters that it has not.
        """
        if spec.role == "base":
            return spec.run_id
        fields = self.fields(spec)
        try:
            for _, field, _, _ in Formatter().parse(self.name):
                if field is not None and field not in fields:
                    raise InputError(
                        f"run name {self.name!r}: no field of {spec.variant} is called {field!r}: "
                        f"{nearest(field, fields)}"
                    )
            return self.name.format_map(fields)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"run name {self.name!r}: it is no pattern: {error}") from None


PLAIN = Logging()
"""Offline, under the run's id."""
