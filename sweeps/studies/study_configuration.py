"""Defines how a study searches: the section `study` of a space file.

study:
  sampler: tpe                # or gp, cmaes, qmc, random, grid
  pruner: median              # or {name: hyperband, factor: 4}; each class below has its settings
  seeds: 5                    # runs per trial, whose mean is the trial's score; 1 by default
  cost: parameters            # a second objective to minimise: parameters, flops_per_sample
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from benchmarks.records.errors import InputError


class _Settings(BaseModel):
    """Refuses unknown settings, and changes of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sampler(StrEnum):
    """Names the samplers, which propose trials."""

    tpe = "tpe"
    gp = "gp"
    cmaes = "cmaes"
    qmc = "qmc"
    random = "random"
    grid = "grid"


class NoPruner(_Settings):
    """Prunes no run."""

    name: Literal["none"] = "none"


class Percentile(_Settings):
    """Stops a run that is not among the best `percentile` % of finished trials at its epoch."""

    name: Literal["percentile"] = "percentile"
    percentile: float = Field(50.0, gt=0, lt=100)


class Median(_Settings):
    """Stops a run that is worse than the median of the finished trials at the same epoch."""

    name: Literal["median"] = "median"


class Halving(_Settings):
    """Prunes by asynchronous successive halving.

    At the epochs min_epochs · factorⁿ, the best 1 / factor of the runs go on.
    """

    name: Literal["successive-halving"] = "successive-halving"
    min_epochs: int = Field(1, ge=1)
    factor: int = Field(3, ge=2)


class Hyperband(_Settings):
    """Prunes by Hyperband: brackets of successive halving that begin at different epochs."""

    name: Literal["hyperband"] = "hyperband"
    min_epochs: int = Field(1, ge=1)
    factor: int = Field(3, ge=2)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Pruner = Annotated[
    Annotated[NoPruner | Median | Percentile | Halving | Hyperband, Field(discriminator="name")],
    BeforeValidator(_named),
]


class StudyConfiguration(_Settings):
    """Holds how the studies of a space file search."""

    sampler: Sampler = Sampler.tpe
    pruner: Pruner = Median()
    seeds: int = Field(1, ge=1)
    cost: Literal["parameters", "flops_per_sample"] | None = None

    @model_validator(mode="after")
    def _fits(self) -> StudyConfiguration:
        if self.cost is not None and self.sampler is Sampler.cmaes:
            raise ValueError(
                "cmaes supports one objective: leave out cost, or choose another sampler"
            )
        if self.cost is not None and self.seeds > 1:
            raise ValueError("a cost needs trials of one seed: leave out cost or seeds")
        return self

    @property
    def prunes_epochs(self) -> bool:
        """Returns whether runs are pruned between epochs.

        They are not if a trial has several seeds, because its runs are compared in pairs, or if
        the study has a cost, because a run with a worse score may be cheaper.
        """
        return self.seeds == 1 and self.cost is None and not isinstance(self.pruner, NoPruner)

    def sampled_by(self, sampler: Sampler | None) -> StudyConfiguration:
        """Returns this configuration with another sampler.

        Args:
            sampler: the sampler; None changes nothing.

        Raises:
            InputError: if the sampler does not fit the rest of the configuration.
        """
        if sampler is None:
            return self
        try:
            return StudyConfiguration.model_validate({**self.model_dump(), "sampler": sampler})
        except ValidationError as error:
            raise InputError(f"--sampler {sampler.value}: {error.errors()[0]['msg']}") from None
