"""Defines the base class of all variants, and the types of their shapes, batches and outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class ImageShape(NamedTuple):
    """Describes still images to the model that reads them."""

    channels: int
    height: int
    width: int
    classes: int
    labels: int = 1
    """Class labels per image: 1, or 2 in the two-digit (MultiMNIST) protocol."""


class ClipShape(NamedTuple):
    """Describes sequences of frames to the model that reads them."""

    channels: int
    height: int
    width: int
    past: int
    """Frames that the model reads."""
    future: int
    """Frames that the model predicts."""


class PointShape(NamedTuple):
    """Describes sets of points in the plane to the model that reads them."""

    points: int
    """Points per set."""
    patterns: int
    """Patterns that the points may belong to."""


Shape = ImageShape | ClipShape | PointShape


class Coded(NamedTuple):
    """Holds the output of an autoencoding variant for a batch; None for what a variant lacks."""

    code: Tensor
    """(batch, dims): the code that linear probes read. Capsule models: posterior presences."""
    prior: Tensor | None = None
    """(batch, dims): prior presences of capsule models."""
    target: Tensor | None = None
    """(batch, channels, height, width) in [0, 1]: the pixels to be reconstructed."""
    reconstruction: Tensor | None = None
    """(batch, channels, height, width): the reconstruction of the target."""
    log_likelihood: Tensor | None = None
    """(batch,) nats: the target's log density under the model, summed over pixels and channels."""
    segments: Tensor | None = None
    """(batch, n) int64, for sets of points: the capsule that each point is assigned to."""


class Heat(NamedTuple):
    """Holds an image and a heat map to be drawn over the image, for `Variant.pictures`."""

    image: Tensor
    """(channels, height, width) in [0, 1]."""
    heat: Tensor
    """(rows, columns): scaled to its own range and enlarged to the image when drawn."""


Picture = Sequence[Sequence[Tensor | Heat]]
"""Rows of images (channels, height, width) in [0, 1], all of one size."""


class Images(NamedTuple):
    """Holds a batch of still images with their labels."""

    x: Tensor
    """(batch, channels, height, width) float32 in [0, 1]."""
    y: Tensor
    """(batch, labels) int64: class indices."""


class Clips(NamedTuple):
    """Holds a batch of frame sequences, split into past and future."""

    past: Tensor
    """(batch, past frames, channels, height, width) in [0, 1]."""
    future: Tensor
    """(batch, future frames, channels, height, width) in [0, 1]."""


class Points(NamedTuple):
    """Holds a batch of sets of points in the plane."""

    x: Tensor
    """(batch, n, 3) float32: x and y in [-1, 1], and presence, which is 0 or 1."""
    pattern: Tensor
    """(batch, n): the pattern that each point belongs to."""


def later_field(default: Any, **named: Any) -> Any:
    """Declares a hyper-parameter that a published variant got later.

    Specs leave it out at its default, so that the ids of earlier runs stay.

    Args:
        default: the value with which the variant computes what it computed without the field.
        named: arguments of pydantic's `Field`, such as bounds and the description.

    Returns:
        The field.
    """
    return Field(default, exclude_if=lambda value: value == default, **named)


class Hyperparameters(BaseModel):
    """Holds a variant's hyper-parameters, typed and bounded; rejects unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batch_size: int = Field(128, ge=1, description="samples per training step")


class PredictionHyperparameters(Hyperparameters):
    """Adds the number and the size of frames, which all rows of a prediction table share."""

    past: int = Field(10, ge=1, description="past frames, which the model reads")
    future: int = Field(10, ge=1, description="future frames, which the model predicts")
    size: int = Field(
        64, ge=8, le=64, description="side of a frame in pixels; smaller than 64: by area averaging"
    )


class Optimization(NamedTuple):
    """Holds a variant's optimiser, its learning-rate schedule and its gradient clipping."""

    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    """Stepped after each training step, not after each epoch."""
    clip_norm: float | None = None
    """Global norm that gradients are clipped to; None: not clipped."""
    clip_value: float | None = None
    """Absolute value that each number of a gradient is then clipped to; None: not clipped."""

    def update(self, model: nn.Module, loss: Tensor) -> None:
        """Performs one training step: computes gradients, clips them, and updates the parameters.

        The scheduler is stepped as well.

        Args:
            model: the model, whose parameters' gradients must be zero or None.
            loss: scalar.
        """
        loss.backward()
        self.clip(model)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()

    def clip(self, model: nn.Module) -> None:
        """Clips the model's gradients to `clip_norm`, then to `clip_value`, where these are given.

        Args:
            model: the model; its gradients are overwritten.
        """
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
        # After clipping to the norm, no number exceeds the norm.
        if self.clip_value is not None and self.clip_value < (self.clip_norm or math.inf):
            nn.utils.clip_grad_value_(model.parameters(), self.clip_value)


class SourceBudget(NamedTuple):
    """Holds how long a published source trains on one dataset, in epochs or in steps."""

    source: str
    """Names the source in one line, and says which of these numbers are our choice."""
    train_samples: int
    """Training samples per epoch."""
    epochs: int | None = None
    """Training epochs; None if the source counts steps."""
    steps: int | None = None
    """Training steps in total; None if the source counts epochs."""
    validation_samples: int = 0
    """Samples that the source holds out for validation, beside `train_samples`; 0: none."""

    def epochs_of(self, *, batch_size: int, train_samples: int | None = None) -> int:
        """Converts the source's budget to epochs of a run.

        Args:
            batch_size: samples per training step; an incomplete last batch of an epoch is skipped.
            train_samples: training samples per epoch of the run; by default those of the source.

        Returns:
            The source's epochs; or its steps divided by the steps per epoch of the run, rounded up.
        """
        if self.epochs is not None:
            return self.epochs
        assert self.steps is not None, "a source states epochs or steps"
        steps_per_epoch = max(1, (train_samples or self.train_samples) // batch_size)
        return -(-self.steps // steps_per_epoch)


class Variant(nn.Module):
    """Is the base class of all variants.

    A subclass is decorated with `registry.register(name, task=...)`. It sets `Config` to its class
    of hyper-parameters, takes `shape` and `config` as keyword arguments, and states in its
    docstring what it pads, resizes or scales.

    The task seeds torch's global generator from (seed, epoch, step) before each training step.
    Noise and augmentation in `loss` draw from this generator, and are therefore pure functions of
    seed, epoch and step.
    """

    Config: ClassVar[type[Hyperparameters]] = Hyperparameters
    """The class of the variant's hyper-parameters; each field has a default and a description."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """By dataset: hyper-parameters that differ from the defaults on this dataset."""
    published_budgets: ClassVar[Mapping[str, SourceBudget]] = {}
    """By dataset: how long the source trains, for the profiles `paper` and `published`."""
    base_variant: ClassVar[str | None] = None
    """The variant whose trained, frozen model this variant takes as `base`; None: no base."""
    undefined_metrics: ClassVar[Mapping[str, str]] = {}
    """By metric: why this metric of the task is undefined for this variant."""

    space: ClassVar[Mapping[str, Any]] = {}
    """What a space file has (`benchmarks/specs/space_files.py`), for variants outside capsbench."""
    extra_datasets: ClassVar[tuple[str, ...]] = ()
    """Datasets that this variant takes in addition to the five of the tables."""

    def __init__(self, *, shape: Shape, config: Hyperparameters) -> None:
        super().__init__()
        self.shape = shape
        self.config = config

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """Returns the weights of the loss terms by name; a term without an entry has weight 1."""
        return {}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Computes the weighted sum of loss terms, which training minimises.

        Args:
            terms: scalars by name, as `loss` returns them.

        Returns:
            Scalar.
        """
        weights = self.loss_weights
        return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()

    def loss(self, batch: Any) -> tuple[dict[str, Tensor], Any]:
        """Computes the loss terms of a batch, and the prediction that they were computed from.

        Args:
            batch: `Images`, `Clips` or `Points`, as the task gives it.

        Returns:
            The unweighted loss terms by name, each a scalar. Then the prediction: scores (batch,
            classes) for classification, `Coded` for autoencoding, future frames for prediction. In
            evaluation mode it equals the output of `forward`. In training mode a `Coded` may omit
            what no loss term needs.

        Raises:
            TypeError: if the variant is not trained by gradients.
        """
        raise TypeError(f"{type(self).__name__} has no loss, since it is not trained")

    def encode(self, x: Tensor) -> Coded:
        """Encodes images, for autoencoding; may omit the reconstruction to save time.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            The same code and prior as `forward` returns.
        """
        return cast(Coded, self(x))

    def target(self, x: Tensor) -> Tensor:
        """Returns the pixels that this variant reconstructs from images, for autoencoding.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            (batch, channels, height', width') in [0, 1]: by default x itself.
        """
        return x

    def optimization(self) -> Optimization:
        """Builds the paper's optimiser recipe for this model's parameters.

        Returns:
            The optimiser, with its schedule and its clipping.

        Raises:
            TypeError: if the variant is not trained by gradients.
        """
        raise TypeError(f"{type(self).__name__} has no optimiser, since it is not trained")

    @classmethod
    def has_optimization(cls) -> bool:
        """Says whether the variant is trained by gradients, without building a model."""
        return cls.optimization is not Variant.optimization

    def fit(self, x: Tensor) -> None:
        """Fits a variant that is not trained by gradients; called once, before evaluation.

        Args:
            x: (n, channels, height, width) uint8 from 0 to 255, all training images.
        """

    def pictures(self, batch: Any) -> Mapping[str, Picture]:
        """Draws pictures of the first test samples; called in evaluation mode.

        Args:
            batch: the samples, as `loss` takes them.

        Returns:
            Pictures by name.
        """
        return {}

    @property
    def trainable(self) -> bool:
        """Says whether the model has parameters to train; baselines may have none."""
        return any(p.requires_grad for p in self.parameters())
