"""How a study searches: the section `study` of a space file.

study:
  sampler: tpe                # or gp, cmaes, qmc, random, grid
  pruner: median              # or {name: hyperband, factor: 4}; below, each with its settings
  seeds: 5                    # runs a trial, whose mean is its score; 1 by default
  cost: parameters            # a second objective, to be small: parameters, flops_per_sample
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from benchmarks.records.errors import InputError


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sampler(StrEnum):
    """Who proposes."""

    tpe = "tpe"
    gp = "gp"
    cmaes = "cmaes"
    qmc = "qmc"
    random = "random"
    grid = "grid"


class NoPruner(_Settings):
    """Every run has all its epochs."""

    name: Literal["none"] = "none"


class Percentile(_Settings):
    """Stops what is not among the best `percentile` % of finished trials at the same epoch."""

    name: Literal["percentile"] = "percentile"
    percentile: float = Field(50.0, gt=0, lt=100)


class Median(_Settings):
    """Stops what is worse than the median of finished trials at the same epoch."""

    name: Literal["median"] = "median"


class Halving(_Settings):
    """Asynchronous successive halving: at epoch min_epochs · factorⁿ the best of `factor` go on."""

    name: Literal["successive-halving"] = "successive-halving"
    min_epochs: int = Field(1, ge=1)
    factor: int = Field(3, ge=2)


class Hyperband(_Settings):
    """Brackets of successive halving that begin at different epochs."""

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
    """What a space file says of its studies."""

    sampler: Sampler = Sampler.tpe
    pruner: Pruner = Median()
    seeds: int = Field(1, ge=1)
    cost: Literal["parameters", "flops_per_sample"] | None = None

    @model_validator(mode="after")
    def _fits(self) -> StudyConfiguration:
        if self.cost is not None and self.sampler is Sampler.cmaes:
            raise ValueError("cmaes knows one objective: leave out cost, or take another sampler")
        if self.cost is not None and self.seeds > 1:
            raise ValueError("a second objective asks for trials of one seed: leave out one")
        return self

    @property
    def prunes_epochs(self) -> bool:
        """Not where runs are compared in pairs, nor where a worse one may be the cheaper one."""
        return self.seeds == 1 and self.cost is None and not isinstance(self.pruner, NoPruner)

    def sampled_by(self, sampler: Sampler | None) -> StudyConfiguration:
        """This strategy with another sampler, if any is named. Raises InputError."""
        if sampler is None:
            return self
        try:
            return StudyConfiguration.model_validate({**self.model_dump(), "sampler": sampler})
        except ValidationError as error:
            raise InputError(f"--sampler {sampler.value}: {error.errors()[0]['msg']}") from None
