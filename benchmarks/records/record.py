"""The record: what a run leaves on disk, and what of it the digest covers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, model_validator

from benchmarks.records.spec import (
    LARGEST,
    Count,
    Direction,
    Frozen,
    Role,
    RunId,
    RunSpec,
    fingerprint,
)

Status = Literal["complete", "pruned", "failed"]


class DataState(StrEnum):
    """Says how near a dataset's samples are to the published ones."""

    official = "official"
    """Each file has the published checksum."""
    unofficial = "unofficial"
    """The files can be read, but a checksum differs from the published one, or none is known."""
    partial = "partial"
    """There are fewer samples than published."""
    stand_in = "stand-in"
    """The samples are rendered here, because the dataset is neither on disk nor reachable."""
    generated = "generated"
    """The samples are generated here, as the dataset's protocol says."""

    @classmethod
    def named_in(cls, text: str) -> tuple[DataState, ...]:
        """Returns the states that a text names as whole words, such as `DataInfo.state`."""
        words = re.findall(r"[\w-]+", text)
        return tuple(state for state in cls if state in words)


class DataInfo(Frozen):
    """What data a run saw."""

    dataset: str = Field(description="`mnist`, or `moving(usps)` where sequences are generated")
    state: str = Field(description="one or two of `DataState`: `generated from stand-in`")
    samples: str
    sha256: str
    path: str

    @property
    def states(self) -> tuple[DataState, ...]:
        """All states of the data behind the samples: of train and test, and generated or not."""
        return DataState.named_in(self.state)


Selection = Literal["all", "stratified", "random", "generated"]


class SampleCounts(Frozen):
    """How many samples a run saw."""

    train: Count = Field(description="training samples in an epoch")
    validation: Count
    test: Count = Field(description="test samples that a final scores")
    test_of: Count = Field(description="test samples that there are")
    test_selection: Selection = Field(
        description="all; a seeded subset, stratified by class or, without classes, random; "
        "or generated with a fixed seed"
    )


class Provenance(Frozen):
    """Where the figures of a run come from: code, libraries, machine, data."""

    version: str | None = Field(None, description="of capsbench; None: before 0.2")
    code_version: str = Field(description="hash of the source that decides a run's numbers")
    commit: str | None = Field(None, description="of git; a plus sign: the tree differed from it")
    lock_sha256: str | None = Field(None, description="of the file of locked libraries")
    versions: dict[str, str | None] = Field(description="of Python and of libraries, by name")
    platform: str
    cpu: str
    cpu_capability: str = Field(description="vector instructions that PyTorch uses, as it says")
    gpu: str | None = None
    data: DataInfo | None = None


def require_amount(value: object) -> int | float:
    """Returns what a run cost unchanged. Raises ValueError if it is no number, or out of bounds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return value
    raise ValueError(f"a cost is a number of 0 to {LARGEST}")


Amount = Annotated[int | float, PlainValidator(require_amount)]


class RunRecord(Frozen):
    """What a run leaves, kept as `record.json`."""

    run_id: RunId
    study: str | None
    spec: RunSpec
    status: Status
    reason: str | None = None
    traceback: str | None = None
    step: Count | None = Field(None, description="steps behind a failed run; None: not failed")
    epochs: Count = Field(description="epochs trained")
    metric: str = Field(description="the primary metric")
    directions: dict[str, Direction] = Field(description="which way each metric is better")
    absent: dict[str, str] = Field({}, description="metrics that have no meaning here, and why")
    metrics: dict[str, float] = Field(description="the last epoch's, and a final's on test data")
    floors: dict[str, dict[str, float]] = Field(
        description="of a final, by name: what trivial answers, and the same network untrained, "
        "score on the same test data"
    )
    samples: SampleCounts | None = Field(description="None: its process died, or had no data")
    history: list[float] = Field(description="the primary validation metric after each epoch")
    weights_sha256: str | None
    digest: str = Field(description="hash of what equal specs decide: see `digest_of`")
    costs: dict[str, Amount | None] = Field(description="by name; None: not known")
    provenance: Provenance

    UNDIGESTED: ClassVar = frozenset(
        {"run_id", "study", "traceback", "digest", "costs", "provenance"}
    )
    """Fields that may differ between records of equal specs, or follow from the spec."""

    @model_validator(mode="after")
    def _tested(self) -> RunRecord:
        if self.role == "final" and self.complete and f"test/{self.metric}" not in self.metrics:
            raise ValueError("metrics of a completed final lacks the primary metric on test data")
        return self

    @classmethod
    def digest_of(cls, stored: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
        """Hashes all fields of a record but `UNDIGESTED`, and the lines of its `metrics.jsonl`.

        Args:
            stored: the record's fields as JSON has them; `step` may be missing or None.
            lines: one object per epoch.

        Raises:
            KeyError: if a field is missing.
        """
        names = cls.model_fields.keys() - cls.UNDIGESTED
        decided = {name: stored[name] for name in names if name != "step"}
        if stored.get("step") is not None:
            decided["step"] = stored["step"]
        return fingerprint([decided, list(lines)])

    @property
    def variant(self) -> str:
        """The name of the trained model."""
        return self.spec.variant

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self.spec.dataset

    @property
    def role(self) -> Role:
        """What the run was made for: `base`, `trial` or `final`."""
        return self.spec.role

    @property
    def seed(self) -> int:
        """The seed of all its randomness."""
        return self.spec.seed

    @property
    def data(self) -> DataInfo | None:
        """The data that the run saw; None if it failed before it had any."""
        return self.provenance.data

    @property
    def complete(self) -> bool:
        """Whether the run trained to its end: it neither failed nor was pruned."""
        return self.status == "complete"

    def cost(self, name: str) -> float:
        """Returns a cost by its name, such as `seconds`; NaN where it is not known."""
        amount = self.costs.get(name)
        return math.nan if amount is None else float(amount)

    @property
    def score(self) -> float:
        """The primary validation metric. Raises KeyError for a run without one: failed, or without
        validation data."""
        return self.metrics[f"validation/{self.metric}"]
