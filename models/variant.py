"""What every variant is, and the kinds of batch it may be given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

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


class PointShape(NamedTuple):
    """What a model of sets of points in the plane must know of its data."""

    points: int
    patterns: int
    """Patterns that the points may belong to."""


Shape = ImageShape | ClipShape | PointShape


class Coded(NamedTuple):
    """What an autoencoding variant makes of a batch of images; None where it has no such thing."""

    code: Tensor
    """(batch, dims): what probes read. Capsule models: posterior presences."""
    prior: Tensor | None = None
    """(batch, dims): capsule models' prior presences."""
    target: Tensor | None = None
    """(batch, channels, height, width) in [0, 1]: the pixels that were to be reconstructed."""
    reconstruction: Tensor | None = None
    """The same of the reconstruction."""
    log_likelihood: Tensor | None = None
    """(batch,) nats of the target under the model, a density summed over pixels and channels."""
    segments: Tensor | None = None
    """(batch, n) int64: of sets of points, which capsule each belongs to."""


class Heat(NamedTuple):
    """A picture of an image under a heat map, for `Variant.pictures`."""

    image: Tensor
    """(channels, height, width) in [0, 1]."""
    heat: Tensor
    """(rows, columns), scaled to its own range and enlarged to the image when drawn."""


Picture = Sequence[Sequence[Tensor | Heat]]
"""Rows of images (channels, height, width) in [0, 1], all of one size."""


class Images(NamedTuple):
    """x: (batch, channels, height, width) float32 in [0, 1]; y: (batch, labels) int64."""

    x: Tensor
    y: Tensor


class Clips(NamedTuple):
    """past: (batch, past, channels, height, width), future: the same with future frames; [0, 1]."""

    past: Tensor
    future: Tensor


class Points(NamedTuple):
    """x: (batch, n, 3) float32 of (x, y) in [-1, 1] and presence, 0 or 1; pattern: (batch, n)."""

    x: Tensor
    pattern: Tensor


class Hyperparameters(BaseModel):
    """A variant's hyper-parameters: typed, bounded, documented, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batch_size: int = Field(128, ge=1, description="samples in a training step")


class PredictionHyperparameters(Hyperparameters):
    """Adds which frames are given and asked for: one protocol for all rows of a table."""

    past: int = Field(10, ge=1, description="frames given")
    future: int = Field(10, ge=1, description="frames asked for")
    size: int = Field(64, ge=8, le=64, description="side of a frame, area-averaged from 64 pixels")


class Optimization(NamedTuple):
    """A variant's optimiser recipe."""

    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    """Stepped after each training step, not each epoch."""
    clip_norm: float | None = None
    """Gradients are clipped to this global norm."""
    clip_value: float | None = None
    """Then each number of a gradient to this absolute value."""

    def update(self, model: nn.Module, loss: Tensor) -> None:
        """One step: gradients of the loss, clipped, and what optimiser and scheduler make of it."""
        loss.backward()
        self.clip(model)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()

    def clip(self, model: nn.Module) -> None:
        """Clips the model's gradients, in both ways if both are asked for."""
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
        # After the first way no number is larger than the norm.
        if self.clip_value is not None and self.clip_value < (self.clip_norm or math.inf):
            nn.utils.clip_grad_value_(model.parameters(), self.clip_value)


class SourceBudget(NamedTuple):
    """Holds how long a published source trains on one dataset, in epochs or in steps."""

    source: str
    """One line that names the source, and says which of these numbers are our own choice."""
    train_samples: int
    """Training samples in an epoch."""
    epochs: int | None = None
    """Training epochs; None if the source counts steps."""
    steps: int | None = None
    """Training steps in all; None if the source counts epochs."""
    validation_samples: int = 0
    """Samples that the source holds out for validation, beside `train_samples`; 0: none."""

    def epochs_of(self, *, batch_size: int, train_samples: int | None = None) -> int:
        """Converts the source's budget to epochs of a run.

        Args:
            batch_size: samples in a training step; an incomplete last batch of an epoch is skipped.
            train_samples: training samples in an epoch; by default the source's.

        Returns:
            The source's epochs, or its steps divided by those of an epoch, rounded up.
        """
        if self.epochs is not None:
            return self.epochs
        assert self.steps is not None, "a source counts epochs or steps"
        whole = max(1, (train_samples or self.train_samples) // batch_size)
        return -(-self.steps // whole)


class Variant(nn.Module):
    """Base of all variants.

    A subclass is decorated with `registry.register(name, task=...)`, points `Config` at its
    hyper-parameters (each field with default, bounds and description), takes keyword-only `shape`
    and `config`, and states in its docstring what it pads, resizes or scales.

    The task seeds torch's global generator from (seed, epoch, step) before each training step, so
    noise and augmentation drawn from it in `loss` are pure functions of these three.
    """

    Config: ClassVar[type[Hyperparameters]] = Hyperparameters
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Hyper-parameters that the paper sets apart from the defaults, by the dataset's name."""
    published_budgets: ClassVar[Mapping[str, SourceBudget]] = {}
    """How long the source trains, by the dataset's name, for profiles `paper` and `published`."""
    base_variant: ClassVar[str | None] = None
    """The variant whose trained, frozen model this one is built on, given to it as `base`."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """Metrics of its task that have no meaning for this variant, each with the reason."""

    also_on: ClassVar[tuple[str, ...]] = ()
    """Datasets beside the five of the tables that this variant takes."""

    def __init__(self, *, shape: Shape, config: Hyperparameters) -> None:
        super().__init__()
        self.shape = shape
        self.config = config

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """Weight of each term that `loss` names; a term without an entry weighs 1."""
        return {}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of loss terms, which training minimises."""
        weights = self.loss_weights
        return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()

    def loss(self, batch: Any) -> tuple[dict[str, Tensor], Any]:
        """Unweighted loss terms by name (scalars), and the prediction they were computed from.

        Scores (batch, classes) for classification, `Coded` for autoencoding, future frames for
        prediction. In evaluation mode the prediction is that of `forward`; in training a `Coded`
        may leave out what no loss term needs.
        """
        raise TypeError(f"{type(self).__name__} has no loss: it is not trained")

    def encode(self, x: Tensor) -> Coded:
        """What `forward` finds of images, for autoencoding; without a reconstruction where that
        saves time. Code and prior are the same numbers."""
        return cast(Coded, self(x))

    def target(self, x: Tensor) -> Tensor:
        """Returns the pixels that this variant reconstructs of images, for autoencoding.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            (batch, channels, height, width) in [0, 1], of any size: by default x itself.
        """
        return x

    def optimization(self) -> Optimization:
        """The paper's optimiser recipe over this model's parameters."""
        raise TypeError(f"{type(self).__name__} has no optimiser: it is not trained")

    def fit(self, x: Tensor) -> None:
        """Fits a variant that is not trained by gradients; called once, before evaluation.

        Args:
            x: (n, channels, height, width) uint8 in 0 … 255, all training images.
        """

    def pictures(self, batch: Any) -> Mapping[str, Picture]:
        """Pictures of the first test samples by name, called in evaluation mode."""
        return {}

    @property
    def trainable(self) -> bool:
        """False for a baseline without parameters, which is evaluated but not trained."""
        return any(p.requires_grad for p in self.parameters())
