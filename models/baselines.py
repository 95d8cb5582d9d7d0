"""Defines the simple models that every table compares with."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.images import STANDARDISED, StandardisedConfig, random_shift
from models.layers.labels import cross_entropy
from models.layers.recipes import adamw
from models.layers.schedules import ScheduleConfig
from models.plain import CrossEntropyClassifier
from models.registry import register
from models.variant import (
    Clips,
    ClipShape,
    Images,
    ImageShape,
    Optimization,
    PredictionHyperparameters,
    Variant,
)


class LinearConfig(StandardisedConfig):
    """Holds the recipe of the linear baseline."""

    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")


@register("linear", task="classification")
class Linear(CrossEntropyClassifier):
    """Classifies by multinomial logistic regression on the pixels.

    Presets standardise each image of svhn and cifar10. Images of the other datasets are read as
    they are.
    """

    Config = LinearConfig
    config: LinearConfig
    presets: ClassVar = STANDARDISED

    def __init__(self, *, shape: ImageShape, config: LinearConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.layer = nn.Linear(shape.channels * shape.height * shape.width, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of the classes.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            (batch, classes) logits.
        """
        return self.layer(self.config.prepare(x).flatten(1))

    def optimization(self) -> Optimization:
        config = self.config
        return Optimization(adamw(self, lr=config.lr, weight_decay=config.weight_decay))


class CNNConfig(ScheduleConfig):
    """Holds the size and the recipe of the convolutional baseline."""

    width: int = Field(16, ge=1, description="channels after the first convolution")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the last layer")
    shift: int = Field(2, ge=0, le=8, description="largest random shift in training, in pixels")
    lr: float = Field(3e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")


@register("cnn", task="classification")
class CNN(Variant):
    """Classifies by a small convolutional network with batch norm.

    Three stages of 3×3 convolution, batch norm, ReLU and 2×2 max pooling are followed by a fourth
    stage without pooling. Each stage after the first doubles the channels. A linear layer reads
    each channel's maximum over the positions. Images need sides of at least 8 pixels; they are read
    as they are, and shifted at random in training. No preset standardises them, since batch norm
    already normalises the maps.
    """

    Config = CNNConfig
    config: CNNConfig

    def __init__(self, *, shape: ImageShape, config: CNNConfig) -> None:
        super().__init__(shape=shape, config=config)
        if min(shape.height, shape.width) < 8:
            raise ValueError(
                f"images of {shape.height}×{shape.width} pixels are too small: "
                "the network needs at least 8×8"
            )
        width = config.width
        self.features = nn.Sequential(
            *_convolution(shape.channels, width),
            nn.MaxPool2d(2),
            *_convolution(width, 2 * width),
            nn.MaxPool2d(2),
            *_convolution(2 * width, 4 * width),
            nn.MaxPool2d(2),
            *_convolution(4 * width, 8 * width),
        )
        self.dropout = nn.Dropout(config.dropout)
        self.layer = nn.Linear(8 * width, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of the classes.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            (batch, classes) logits.
        """
        maps = self.features(x.contiguous(memory_format=torch.channels_last))
        return self.layer(self.dropout(maps.amax((2, 3))))

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss term `cross_entropy`, the mean over images and labels.

        Args:
            batch: images and labels; in training mode the images are shifted at random.

        Returns:
            The loss term by name, and the logits (batch, classes).
        """
        x = random_shift(batch.x, self.config.shift) if self.training else batch.x
        scores = self(x)
        return {"cross_entropy": cross_entropy(scores, batch.y)}, scores

    def optimization(self) -> Optimization:
        config = self.config
        optimizer = adamw(self, lr=config.lr, weight_decay=config.weight_decay)
        return Optimization(optimizer, config.scheduler(optimizer))


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """Builds a 3×3 convolution with batch norm and ReLU."""
    # With a momentum of 0.5 the running statistics follow the weights in runs of a hundred steps.
    norm = nn.BatchNorm2d(outputs, momentum=0.5)
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm, nn.ReLU()]


@register("copy-last", task="prediction")
class CopyLast(Variant):
    """Predicts the last past frame for every future frame; learns nothing."""

    Config = PredictionHyperparameters

    def __init__(self, *, shape: ClipShape, config: PredictionHyperparameters) -> None:
        super().__init__(shape=shape, config=config)
        self.future = shape.future

    def forward(self, past: Tensor) -> Tensor:
        """Repeats the last past frame.

        Args:
            past: (batch, past frames, channels, height, width).

        Returns:
            (batch, future frames, channels, height, width).
        """
        return past[:, -1:].expand(-1, self.future, -1, -1, -1)

    def loss(self, batch: Clips) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss term `mse`, the mean squared error over sequences, frames and pixels.

        Args:
            batch: past and future frames.

        Returns:
            The loss term by name, and the predicted frames as `forward` returns them.
        """
        frames = self(batch.past)
        return {"mse": F.mse_loss(frames, batch.future)}, frames
