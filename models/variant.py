"""What every variant is, and the two kinds of batch it may be given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class ImageShape(NamedTuple):
    """What a model of still images must know of its data."""

    channels: int
    height: int
    width: int
    classes: int
    labels: int = 1
    """Classes to name in each image: 1, or 2 by the two-digit (MultiMNIST) protocol."""


class ClipShape(NamedTuple):
    """What a model of frames must know of its data."""

    channels: int
    height: int
    width: int
    past: int
    future: int


class Images(NamedTuple):
    """x: (batch, channels, height, width) float32 in [0, 1]; y: (batch, labels) int64."""

    x: Tensor
    y: Tensor


class Clips(NamedTuple):
    """past: (batch, past, channels, height, width), future: the same with future frames; [0, 1]."""

    past: Tensor
    future: Tensor


class Hyperparameters(BaseModel):
    """A variant's hyper-parameters: typed, bounded, documented, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batch_size: int = Field(128, ge=1, description="samples in a training step")


class Optimization(NamedTuple):
    """A variant's optimiser recipe."""

    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    """Stepped after each training step, not each epoch."""
    clip_norm: float | None = None
    """Gradients are clipped to this global norm."""


class Variant(nn.Module):
    """Base of all variants.

    A subclass is decorated with `registry.register(name, task=...)`, points `Config` at its
    hyper-parameters (each field with default, bounds and description), takes keyword-only `shape`
    and `config`, and states in its docstring what it pads, resizes or scales.

    The task seeds torch's global generator from (seed, epoch, step) before each training step, so
    noise and augmentation drawn from it in `loss` are pure functions of these three.
    """

    Config: ClassVar[type[Hyperparameters]] = Hyperparameters

    def __init__(self, *, shape: ImageShape | ClipShape, config: Hyperparameters) -> None:
        super().__init__()
        self.shape = shape
        self.config = config

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """Weight of each term that `loss` names; a term without an entry weighs 1."""
        return {}

    def loss(self, batch: Any) -> tuple[dict[str, Tensor], Tensor]:
        """Unweighted loss terms by name (scalars), and the prediction they were computed from:
        scores (batch, classes) for classification, future frames for prediction."""
        raise TypeError(f"{type(self).__name__} has no loss: it is not trained")

    def optimization(self) -> Optimization:
        """The paper's optimiser recipe over this model's parameters."""
        raise TypeError(f"{type(self).__name__} has no optimiser: it is not trained")

    @property
    def trainable(self) -> bool:
        """False for a baseline without parameters, which is evaluated but not trained."""
        return any(p.requires_grad for p in self.parameters())
