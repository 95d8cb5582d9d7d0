"""Defines the spec: everything that decides the numbers of a run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

Role = Literal["base", "trial", "final"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
DeviceName = Literal["cpu", "cuda", "mps"]
Direction = Literal["maximize", "minimize"]

Stop = Callable[[list[float]], bool]
"""Decides after each epoch whether a run is pruned, from its primary validation metric after each
epoch so far."""


class Frozen(BaseModel):
    """Defines the base of stored values: they are immutable and have no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


LARGEST = 2**53
"""The largest stored count: JSON numbers are exact up to it, and sums of counts fit 64 bits."""
Count = Annotated[int, Field(ge=0, le=LARGEST)]

RUN_ID = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""A run id names a folder in `runs/`; it cannot be a path to another folder."""


def require_run_id(text: str) -> str:
    """Checks that a text can be a run id.

    Args:
        text: the text.

    Returns:
        The text, unchanged.

    Raises:
        ValueError: if the text cannot be a run id.
    """
    if not RUN_ID.fullmatch(text):
        raise ValueError(
            "a run id is 1 to 200 letters, digits or signs (_ . -), and begins with neither . nor -"
        )
    return text


RunId = Annotated[str, AfterValidator(require_run_id)]


class Budget(Frozen):
    """Says how much a run may spend."""

    profile: str = Field(description="name of the profile that the budget comes from")
    epochs: int = Field(ge=1)
    train_samples: int | None = Field(
        None, ge=1, description="training samples per epoch; None: all (generated data: 10,000)"
    )
    validation_samples: int = Field(
        ge=0, description="held out of the training data, stratified: 10 or more, or 0 for finals"
    )
    test_samples: int | None = Field(
        None, ge=1, description="test samples to score, a seeded subset; None: all"
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
    """Holds everything that decides the numbers of a run.

    Equal specs give bit-equal records, unless `deterministic` is false.
    """

    variant: str
    dataset: str
    role: Role = Field(
        description="a trial is scored on validation data; a final also on test data; "
        "a base is trained for other runs to build on"
    )
    hyperparameters: dict[str, JsonValue] = Field(description="all of the variant, by name")
    seed: int = Field(description="seed of all randomness")
    budget: Budget
    precision: Precision = "32-true"
    threads: int = Field(
        1, ge=1, description="CPU threads; sums are split by threads, so rounding depends on them"
    )
    device: DeviceName = "cpu"
    deterministic: bool = Field(
        True, description="whether only operations with reproducible results are allowed"
    )
    data_sha256: str = Field(description="fingerprint of the decoded data")
    base: RunSpec | None = Field(
        None, description="the run whose trained, frozen model this run is built on"
    )
    variant_sha256: str | None = Field(
        None,
        description="of the user's file that defines the variant; None: it is one of capsbench",
        exclude_if=lambda value: value is None,  # specs of capsbench's variants keep their ids
    )
    test_curve: bool = Field(
        False,
        description="whether a final is scored on test data after each epoch, as many sources are; "
        "nothing is chosen by these scores",
        exclude_if=lambda value: not value,  # specs without it keep their ids
    )
    devices: int = Field(
        1,
        ge=1,
        description="processes that train the run together, one per device; each computes an equal "
        "share of every batch, and sums are split by shares, so rounding depends on them",
        exclude_if=lambda value: value == 1,  # specs of one device keep their ids
    )

    @model_validator(mode="after")
    def _scored(self) -> RunSpec:
        if self.role == "trial" and self.budget.validation_samples == 0:
            raise ValueError(
                "a trial is scored on validation data, but its budget has no validation samples: "
                "give some (--validation-samples), or make the run a final (--final)"
            )
        if self.test_curve and self.role != "final":
            raise ValueError("only a final has a curve of test scores: add --final")
        return self

    @model_validator(mode="after")
    def _computable(self) -> RunSpec:
        require_computable(self.device, self.precision, self.devices)
        require_shares(self.devices, self.hyperparameters.get("batch_size"))
        return self

    @property
    def run_id(self) -> str:
        """Returns `<variant>-<dataset>-<hash of the spec>`."""
        return f"{self.variant}-{self.dataset}-{fingerprint(self.model_dump(mode='json'))[:16]}"


def require_computable(device: DeviceName, precision: Precision, devices: int = 1) -> None:
    """Checks that devices of a kind can train in a precision.

    Args:
        device: the kind of device.
        precision: the precision of the layers.
        devices: number of devices.

    Raises:
        ValueError: if they cannot; the message is a whole sentence.
    """
    if precision == "16-mixed" and device != "cuda":
        raise ValueError(
            f"--precision 16-mixed needs an NVIDIA GPU, and the device is {device}: give "
            "--device cuda, or --precision bf16-mixed or 32-true"
        )
    if device == "mps" and devices > 1:
        raise ValueError(
            f"--devices {devices}: a machine has one Apple GPU: leave --devices out, or give "
            "--device cpu"
        )


def require_shares(devices: int, batch_size: JsonValue) -> None:
    """Checks that devices can have equal shares of a batch.

    Args:
        devices: number of devices.
        batch_size: samples per batch, of all devices together; anything but an integer is accepted
            here.

    Raises:
        ValueError: if the devices do not divide the batch size; the message is a whole sentence.
    """
    if isinstance(batch_size, int) and batch_size % devices:
        raise ValueError(
            f"{devices} devices cannot have equal shares of a batch of {batch_size}: give a "
            f"batch_size that is a multiple of {devices}, or another number of --devices"
        )


def fingerprint(value: object) -> str:
    """Computes the SHA-256 of a JSON value, independent of the order of its keys.

    Args:
        value: a value that JSON can express.

    Returns:
        64 hexadecimal digits.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()
