"""Makes a variant of any network that maps images to scores, with a common recipe."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from models.layers.labels import cross_entropy
from models.layers.recipes import adamw
from models.variant import Hyperparameters, Images, ImageShape, Optimization, Variant


class PlainConfig(Hyperparameters):
    """Holds the recipe of a plain network."""

    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")


class CrossEntropyClassifier(Variant):
    """Is the base class of variants that are trained with cross-entropy on unchanged images."""

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss term `cross_entropy`, the mean over images and labels.

        Args:
            batch: images and labels.

        Returns:
            The loss term by name, and the logits (batch, classes).
        """
        scores = self(batch.x)
        return {"cross_entropy": cross_entropy(scores, batch.y)}, scores


class PlainClassifier(CrossEntropyClassifier):
    """Is the base class of variants that are one network, trained with cross-entropy and AdamW.

    A subclass defines `network`:

        @register("mynet", task="classification")
        class MyNet(PlainClassifier):
            def network(self, shape):
                return nn.Sequential(nn.Flatten(), nn.LazyLinear(shape.classes))
    """

    Config = PlainConfig
    config: PlainConfig

    def __init__(self, *, shape: ImageShape, config: PlainConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.model = self.network(shape)
        example = torch.zeros(2, shape.channels, shape.height, shape.width)
        with torch.no_grad():  # layers such as LazyLinear get their sizes
            scores = self.model(example)
        if scores.shape != (2, shape.classes):
            raise ValueError(
                f"the network of {type(self).__name__} gives {tuple(scores.shape)} for 2 images, "
                f"instead of 2 × {shape.classes} scores: correct its last layer"
            )

    def network(self, shape: ImageShape) -> nn.Module:
        """Builds the network; a subclass defines it.

        Args:
            shape: channels, height, width and classes.

        Returns:
            A module from images (batch, channels, height, width) in [0, 1] to scores (batch,
            classes).
        """
        raise TypeError(f"{type(self).__name__} has no network: define its method `network`")

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of the classes.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            (batch, classes) logits.
        """
        return self.model(x)

    def optimization(self) -> Optimization:
        config = self.config
        return Optimization(adamw(self, lr=config.lr, weight_decay=config.weight_decay))
