"""The two types that cross rooms: what decides a run, and what it leaves.

Importing this is cheap: no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Scalar = bool | int | float | str | None
Role = Literal["base", "trial", "final"]
Precision = Literal["32-true", "bf16-mixed"]
Direction = Literal["maximize", "minimize"]
Status = Literal["complete", "pruned", "failed"]

Stop = Callable[[list[float]], bool]
"""Asked after each epoch, with the primary validation metric of each so far: stop here?"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Frozen):
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


class RunSpec(_Frozen):
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


class DataInfo(_Frozen):
    """What data a run saw."""

    dataset: str = Field(description="`mnist`, or `moving(usps)` where sequences are generated")
    state: str
    samples: str
    sha256: str
    path: str


Selection = Literal["all", "stratified", "random", "generated"]


class SampleCounts(_Frozen):
    """How many samples a run saw."""

    train: int = Field(description="training samples in an epoch")
    validation: int
    test: int = Field(description="test samples that a final scores")
    test_of: int = Field(description="test samples that there are")
    test_selection: Selection = Field(
        description="all; a seeded subset, stratified by class or, without classes, random; "
        "or generated with a fixed seed"
    )


class RunRecord(_Frozen):
    """What a run leaves, kept as `record.json`."""

    run_id: str
    study: str | None
    spec: RunSpec
    status: Status
    reason: str | None = None
    traceback: str | None = None
    step: int | None = Field(None, description="steps behind a failed run; None: not failed")
    epochs: int = Field(description="epochs trained")
    metric: str = Field(description="the primary metric")
    directions: dict[str, Direction] = Field(description="which way each metric is better")
    absent: dict[str, str] = Field({}, description="metrics that have no meaning here, and why")
    metrics: dict[str, float] = Field(description="the last epoch's, and a final's on test data")
    floors: dict[str, dict[str, float]] = Field(
        description="of a final, by name: what trivial answers, and the same network untrained, "
        "score on the same test data"
    )
    samples: SampleCounts
    history: list[float] = Field(description="the primary validation metric after each epoch")
    weights_sha256: str | None
    digest: str = Field(description="hash of all above but study, run id and traceback")
    costs: dict[str, float | int | None]
    provenance: dict[str, Any]

    @property
    def score(self) -> float:
        """The primary validation metric. Raises KeyError for a run without one: failed, or without
        validation data."""
        return self.metrics[f"validation/{self.metric}"]


def fingerprint(value: object) -> str:
    """SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()
