"""The spec: everything that decides the numbers of a run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

Scalar = bool | int | float | str | None
Role = Literal["base", "trial", "final"]
Precision = Literal["32-true", "bf16-mixed"]
Direction = Literal["maximize", "minimize"]

Stop = Callable[[list[float]], bool]
"""Asked after each epoch, with the primary validation metric of each so far: stop here?"""


class Frozen(BaseModel):
    """A stored value: immutable, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


LARGEST = 2**53
"""Up to here JSON's numbers are exact, and a sum of some fits the 64 bits that tables have."""
Count = Annotated[int, Field(ge=0, le=LARGEST)]

RUN_ID = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""Names a folder within `runs/`, never one elsewhere."""


def require_run_id(text: str) -> str:
    """Returns a run id unchanged. Raises ValueError if the text cannot be a run id."""
    if not RUN_ID.fullmatch(text):
        raise ValueError(
            "a run id is 1 to 200 letters, digits or signs (_ . -), and begins with neither . nor -"
        )
    return text


RunId = Annotated[str, AfterValidator(require_run_id)]


class Budget(Frozen):
    """How much a run may spend."""

    profile: str = Field(description="the profile it comes from")
    epochs: int = Field(ge=1)
    train_samples: int | None = Field(
        None, ge=1, description="training samples an epoch; none: all (generated data: 10,000)"
    )
    validation_samples: int = Field(
        ge=0, description="cut from train, stratified: 10 or more; 0: none, for finals alone"
    )
    test_samples: int | None = Field(
        None, ge=1, description="test samples scored, a seeded stratified subset; none: all"
    )

    @model_validator(mode="after")
    def _stratifiable(self) -> Budget:
        if 0 < self.validation_samples < 10:
            raise ValueError(
                f"{self.validation_samples} validation samples cannot be stratified by class: "
                "give 10 or more, or 0 for none"
            )
        return self


class RunSpec(Frozen):
    """All that decides a run's numbers. Equal specs give bit-equal records.

    Those that are not `deterministic` need not: they say that they were made so.
    """

    variant: str
    dataset: str
    role: Role = Field(
        description="a trial is scored on validation data, a final on test data too; "
        "a base is trained for other runs to rest on"
    )
    hyperparameters: dict[str, JsonValue] = Field(description="all of the variant's, resolved")
    seed: int
    budget: Budget
    precision: Precision = "32-true"
    threads: int = Field(1, ge=1, description="sums are cut by threads, so they decide bits")
    device: Literal["cpu", "cuda"] = "cpu"
    deterministic: bool = Field(
        True, description="only operations that give equal bits; without, speed may be gained"
    )
    data_sha256: str = Field(description="fingerprint of the decoded data")
    base: RunSpec | None = Field(
        None, description="the run whose trained model, frozen, this one is built on"
    )

    @model_validator(mode="after")
    def _scored(self) -> RunSpec:
        if self.role == "trial" and self.budget.validation_samples == 0:
            raise ValueError(
                "a trial is scored on validation data, and this budget has none: give validation "
                "samples (--validation-samples), or make the run a final (--final)"
            )
        return self

    @property
    def run_id(self) -> str:
        """Readable name and content hash."""
        return f"{self.variant}-{self.dataset}-{fingerprint(self.model_dump(mode='json'))[:16]}"


def fingerprint(value: object) -> str:
    """SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()
