"""Baselines, without which no table means anything."""

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
    """Recipe of the linear baseline."""

    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")


@register("linear", task="classification")
class Linear(Variant):
    """Classifies by multinomial logistic regression on the pixels.

    Presets standardise each image of svhn and cifar10. Other pixels are read as they are.
    """

    Config = LinearConfig
    config: LinearConfig
    presets: ClassVar = STANDARDISED

    def __init__(self, *, shape: ImageShape, config: LinearConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.layer = nn.Linear(shape.channels * shape.height * shape.width, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width) to logits: (batch, classes)."""
        return self.layer(self.config.prepare(x).flatten(1))

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """`cross_entropy`, mean over an image's labels."""
        scores = self(batch.x)
        return {"cross_entropy": cross_entropy(scores, batch.y)}, scores

    def optimization(self) -> Optimization:
        config = self.config
        return Optimization(adamw(self, lr=config.lr, weight_decay=config.weight_decay))


class CNNConfig(ScheduleConfig):
    """Size and recipe of the convolutional baseline."""

    width: int = Field(16, ge=1, description="channels after the first convolution")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the last layer")
    shift: int = Field(2, ge=0, le=8, description="largest random shift in training, in pixels")
    lr: float = Field(3e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")


@register("cnn", task="classification")
class CNN(Variant):
    """A small convolutional network with batch norm.

    Three stages of 3×3 convolution, batch norm, ReLU and 2×2 max pooling, doubling the channels;
    a fourth without pooling; the maximum over positions; a linear layer. Images are read as they
    are, from 8×8 pixels up, and shifted in training. No preset standardises them, since batch norm
    already normalises the maps.
    """

    Config = CNNConfig
    config: CNNConfig

    def __init__(self, *, shape: ImageShape, config: CNNConfig) -> None:
        super().__init__(shape=shape, config=config)
        if min(shape.height, shape.width) < 8:
            raise ValueError(f"images of {shape.height}×{shape.width} are too small: 8×8 at least")
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
        """x: (batch, channels, height, width) to logits: (batch, classes)."""
        maps = self.features(x.contiguous(memory_format=torch.channels_last))
        return self.layer(self.dropout(maps.amax((2, 3))))

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """`cross_entropy`, mean over an image's labels."""
        x = random_shift(batch.x, self.config.shift) if self.training else batch.x
        scores = self(x)
        return {"cross_entropy": cross_entropy(scores, batch.y)}, scores

    def optimization(self) -> Optimization:
        config = self.config
        optimizer = adamw(self, lr=config.lr, weight_decay=config.weight_decay)
        return Optimization(optimizer, config.scheduler(optimizer))


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    # The running statistics have to keep up with the weights in budgets of a hundred steps.
    norm = nn.BatchNorm2d(outputs, momentum=0.5)
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm, nn.ReLU()]


@register("copy-last", task="prediction")
class CopyLast(Variant):
    """Every future frame is the last past frame; nothing is learned."""

    Config = PredictionHyperparameters

    def __init__(self, *, shape: ClipShape, config: PredictionHyperparameters) -> None:
        super().__init__(shape=shape, config=config)
        self.future = shape.future

    def forward(self, past: Tensor) -> Tensor:
        """past: (batch, past, channels, height, width) to (batch, future, channels, ...)."""
        return past[:, -1:].expand(-1, self.future, -1, -1, -1)

    def loss(self, batch: Clips) -> tuple[dict[str, Tensor], Tensor]:
        """`mse`: squared error, mean over pixels, frames and sequences."""
        frames = self(batch.past)
        return {"mse": F.mse_loss(frames, batch.future)}, frames
