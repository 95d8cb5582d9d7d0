"""How runs are shown in Weights & Biases: what command lines say of it. Importing this is cheap."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from string import Formatter
from typing import Annotated, Any

from pydantic import Field

from benchmarks.errors import InputError
from benchmarks.spec import RunSpec
from benchmarks.weights_and_biases import import_wandb
from models.registry import nearest


@dataclass(frozen=True)
class Logging:
    """How a run is shown in Weights & Biases; it decides no number."""

    project: str = "capsbench"
    team: str | None = None
    name: str = "{run_id}"
    """A pattern: `{variant}-{lr:.0e}` of hyper-parameters and what `fields` adds to them."""
    upload: bool = False
    wandb: bool = True
    """False: runs are not shown there at all."""
    every: Annotated[int, Field(ge=1)] = 1
    """Epochs between those that are shown; the last is shown always."""

    def of_base(self) -> Logging:
        """How a run is shown that others rest on: called by its id, as the pattern may be of
        hyper-parameters that it has not."""
        return replace(self, name=PLAIN.name)

    def require_login(self) -> None:
        """Raises InputError if runs are to be sent and cannot be: switched off, or no login."""
        if self.upload:
            if (why := self.switched_off) is not None:
                raise InputError(f"--upload sends nothing with {why}: leave one of them out")
            if not import_wandb().login(prompt=False, verify=False):
                raise InputError(
                    "--upload, but nobody is logged in to Weights & Biases here: call `wandb "
                    "login`, or set $WANDB_API_KEY"
                )

    @property
    def switched_off(self) -> str | None:
        """Names what switches Weights & Biases off: the option, or a variable of its own."""
        if not self.wandb:
            return "--no-wandb"
        if os.environ.get("WANDB_MODE", "").lower() == "disabled":
            return "WANDB_MODE=disabled"
        if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
            return "WANDB_DISABLED"
        return None

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
        """The run's name. Raises InputError for a pattern that gives none."""
        fields = self.fields(spec)
        try:
            for _, field, _, _ in Formatter().parse(self.name):
                if field is not None and field not in fields:
                    raise InputError(
                        f"run name {self.name!r}: no field of {spec.variant} is called {field!r}: "
                        f"{nearest(field, fields)}"
                    )
            name = self.name.format_map(fields)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"run name {self.name!r}: it is no pattern: {error}") from None
        if not name:
            raise InputError("run name '': it is empty: leave --run-name out, or say a pattern")
        return name


PLAIN = Logging()
"""Offline, under the run's id."""
