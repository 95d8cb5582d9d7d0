"""Declares the options of Weights & Biases and TensorBoard. Importing this module is fast."""

from __future__ import annotations

import os
from collections.abc import Mapping
from string import Formatter
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.records.errors import InputError
from benchmarks.records.spec import Role, RunSpec
from benchmarks.tensorboard import writer_class
from benchmarks.weights_and_biases import import_wandb
from models.registry import nearest


class NameFields(NamedTuple):
    """Holds what a pattern of run names may contain, beside the hyper-parameters of the run."""

    run_id: str
    variant: str
    dataset: str
    profile: str
    role: Role
    seed: int


class WandbOptions(BaseModel):
    """Says how a run is shown in Weights & Biases and TensorBoard; this decides no number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: Annotated[
        str, typer.Option("--project", envvar="WANDB_PROJECT", help="Weights & Biases project.")
    ] = "capsbench"
    team: Annotated[
        str | None,
        typer.Option(
            "--team", envvar="WANDB_ENTITY", help="Weights & Biases team.", show_default="your own"
        ),
    ] = None
    name: Annotated[
        str,
        typer.Option(
            "--run-name",
            metavar="PATTERN",
            help="Run name there, such as '{variant}-{dataset}-{seed}', or of hyper-parameters.",
        ),
    ] = "{run_id}"
    """A pattern such as `{variant}-{lr:.0e}`, of hyper-parameters and fields of `NameFields`."""
    upload: Annotated[
        bool, typer.Option("--upload", help="Send runs to Weights & Biases as they go.")
    ] = False
    off: Annotated[
        bool, typer.Option("--no-wandb", help="Show nothing there, as WANDB_MODE=disabled does.")
    ] = False
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write TensorBoard's files into the run's folder."),
    ] = False
    every: Annotated[
        int,
        Field(ge=1),
        typer.Option("--log-every", min=1, help="Epochs between those shown in both."),
    ] = 1
    """The last epoch is always shown."""
    every_steps: Annotated[
        int,
        Field(ge=1),
        typer.Option(
            "--log-every-steps", min=1, help="Training steps between those shown in both."
        ),
    ] = 25

    def of_base(self) -> WandbOptions:
        """Returns the options for the run of a base, which is called by its id.

        The pattern of names may contain hyper-parameters that the base does not have.
        """
        return self.model_copy(update={"name": PLAIN.name})

    def require_login(self) -> None:
        """Raises InputError if a view cannot be made: no login, or no TensorBoard."""
        if self.tensorboard:
            writer_class()
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
        if self.off:
            return "--no-wandb"
        if os.environ.get("WANDB_MODE", "").lower() == "disabled":
            return "WANDB_MODE=disabled"
        if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
            return "WANDB_DISABLED"
        return None

    def name_of(self, spec: RunSpec) -> str:
        """Writes the name of a run by the pattern `name`.

        Args:
            spec: the spec of the run.

        Returns:
            The name.

        Raises:
            InputError: if the pattern has an unknown field, is malformed, or gives an empty name.
        """
        known = NameFields(
            spec.run_id, spec.variant, spec.dataset, spec.budget.profile, spec.role, spec.seed
        )
        return self._filled(known, spec.hyperparameters)

    def require_name(
        self, variant: str, dataset: str, profile: str, hyperparameters: Mapping[str, Any]
    ) -> None:
        """Checks that the pattern `name` gives a name to the runs of a variant.

        Args:
            variant: the name of the variant.
            dataset: the name of the dataset.
            profile: the name of the profile.
            hyperparameters: any possible values of the variant's hyper-parameters, by name.

        Raises:
            InputError: if the pattern has an unknown field, is malformed, or gives an empty name.
        """
        self._filled(NameFields(variant, variant, dataset, profile, "trial", 0), hyperparameters)

    def _filled(self, known: NameFields, hyperparameters: Mapping[str, Any]) -> str:
        fields = {**hyperparameters, **known._asdict()}
        try:
            for _, field, _, _ in Formatter().parse(self.name):
                if field is not None and field not in fields:
                    raise InputError(
                        f"run name {self.name!r}: no field of {known.variant} is called "
                        f"{field!r}: {nearest(field, fields)}"
                    )
            name = self.name.format_map(fields)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"run name {self.name!r}: it is no pattern: {error}") from None
        if not name:
            raise InputError("run name '': it is empty: leave --run-name out, or give a pattern")
        return name


PLAIN = WandbOptions()
"""Offline, under the run's id."""
