"""Implements capsule networks with dynamic routing.

Sabour, Frosst, Hinton: Dynamic Routing Between Capsules, NeurIPS 2017 (arXiv 1710.09829).

The textbook version is models/textbook/capsnet.py.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.layers.capsule_network import (
    CapsuleConfig,
    CapsuleNetwork,
    CapsuleVariant,
    Structure,
    margin_loss,
)
from models.layers.capsules import length
from models.layers.images import STANDARDISED, random_contrast, random_crop, random_shift
from models.layers.initialisation import truncated_normal_
from models.layers.labels import multi_hot
from models.layers.schedules import ScheduleConfig
from models.registry import register
from models.variant import Images, ImageShape, Optimization, SourceBudget


class CapsNetConfig(CapsuleConfig, ScheduleConfig):
    """Adds what the authors vary between datasets, and their recipe."""

    follow: Literal["paper", "code"] = Field(
        "paper",
        description="paper, or the authors' code: halved margins, biases, divided primary capsules",
    )
    same_padding: bool = Field(
        False,
        description="whether to pad image and maps with zeros, as TensorFlow's SAME does",
    )
    none_of_the_above: bool = Field(
        False, description="whether to add a logit that belongs to no class to the routing softmax"
    )
    crop: int = Field(
        0, ge=0, le=56, description="side of the square cut out of the rescaled image; 0: no crop"
    )
    flip: bool = Field(False, description="whether to mirror training images, with probability 1/2")
    contrast: float = Field(
        0.0, ge=0, le=1, description="largest random change of contrast in training, relative to 1"
    )
    lr_decay: float = Field(0.96, gt=0, le=1, description="learning-rate factor per decay period")
    lr_decay_steps: int = Field(2000, ge=1, description="steps per decay period")
    shift: int = Field(2, ge=0, le=8, description="largest random shift in training, in pixels")

    def without_cosine(self, step: int) -> float:
        """Returns the learning rate of the authors' smooth exponential decay.

        Args:
            step: number of the training step, from 0.

        Returns:
            The rate in units of `lr`.
        """
        return self.lr_decay ** (step / self.lr_decay_steps)

    @property
    def structure(self) -> Structure:
        """Collects the hyper-parameters that decide how capsules are computed and routed."""
        return Structure(
            same_padding=self.same_padding,
            none_of_the_above=self.none_of_the_above,
            crop=self.crop,
            as_code=self.follow == "code",
        )


@register("capsnet", task="classification")
class CapsNet(CapsuleVariant):
    """Classifies images by capsules with dynamic routing (Sabour et al. 2017).

    Images are doubled (bilinear) or halved (area mean) until their sides are from 28 to 56 pixels:
    28 and 32 stay, 16 and 64 become 32. With `crop`, the network reads a square of this image, at a
    random place in training and the centre otherwise. The reconstruction's target is the image that
    the network reads, before contrast and standardising. The decoder reads the capsules of the true
    labels in training, and the longest capsules otherwise; with two labels per image (MultiMNIST
    protocol) it reads two capsules at once.

    Recipe: images are shifted by up to 2 pixels in training. W is drawn from a normal distribution
    of deviation 0.1, truncated at two deviations. Gradients pass through the whole routing. The
    learning rate decays smoothly by a factor of 0.96 in 2000 steps; with `restart_steps` it follows
    a cosine to zero instead. The default size at 1×28×28 is 8,215,568 parameters, 6,804,224 without
    decoder.

    `follow="code"` follows the authors' code where it departs from the paper. Both margin terms are
    halved, so that the reconstruction has twice the relative weight. Class capsules have biases
    (160 more parameters). Primary capsules, without their bias, are divided by their number at a
    position. Initial weights are drawn from truncated normal distributions of deviation 0.05 (first
    convolution) and 0.1 (all further weights), and initial biases are 0.1.

    Presets: svhn has the paper's smaller network (section 7; 4,720,480 parameters); the paper does
    not describe its training, and standardised images are our choice. cifar10 has the arguments
    that the authors give their code: 64 primary capsules, no reconstruction, zero padding around
    image and maps, a none-of-the-above logit in the routing, and standardised crops of 24×24 with
    random mirroring and contrast (22,476,288 parameters). Their random brightness is left out,
    since standardising removes it.
    """

    Config = CapsNetConfig
    config: CapsNetConfig
    presets: ClassVar = {
        "svhn": {
            **STANDARDISED["svhn"],
            "conv_channels": 64,
            "primary_capsules": 16,
            "primary_dim": 6,
            "digit_dim": 8,
        },
        "cifar10": {
            **STANDARDISED["cifar10"],
            "primary_capsules": 64,
            "reconstruction": False,
            "same_padding": True,
            "none_of_the_above": True,
            "crop": 24,
            "flip": True,
            "contrast": 0.8,
            "shift": 0,
        },
    }
    published_budgets: ClassVar = {
        "mnist": SourceBudget(
            "the authors train for hundreds of epochs and state no number: 50 is our choice",
            train_samples=60_000,
            epochs=50,
        )
    }

    def __init__(self, *, shape: ImageShape, config: CapsNetConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.network = CapsuleNetwork(shape=shape, config=config, structure=config.structure)
        truncated_normal_(self.network.digits.weight, std=0.1)
        if config.follow == "code":
            self._initialise_as_code()

    def _initialise_as_code(self) -> None:
        """Draws initial weights and biases as the authors' code does."""
        for name, parameter in self.network.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, 0.1)
            else:
                truncated_normal_(
                    parameter, std=0.05 if name.startswith("primary.features") else 0.1
                )

    @property
    def loss_weights(self) -> dict[str, float]:
        halved = {"margin": 0.5} if self.config.follow == "code" else {}
        return {**super().loss_weights, **halved}

    def training_view(self, x: Tensor) -> Tensor:
        """Rescales, crops, mirrors and shifts images for training.

        `loss` changes the contrast later.

        Args:
            x: (batch, channels, height, width).

        Returns:
            (batch, channels, *size).
        """
        config, size = self.config, self.network.size
        image = self.network.rescale(x)
        if config.crop or config.flip:
            image = random_crop(image, size, flip=config.flip)
        return random_shift(image, config.shift)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss terms `margin` (equation 4) and, with a decoder, `reconstruction`.

        `reconstruction` is the squared error summed over an image.

        Args:
            batch: images and labels; in training mode the images are augmented.

        Returns:
            The loss terms by name, averaged over the batch. Then capsule lengths (batch, classes).
        """
        network, config = self.network, self.config
        image = self.training_view(batch.x) if self.training else network.evaluation_view(batch.x)
        contrast = config.contrast if self.training else 0.0
        capsules = network(random_contrast(image, contrast))
        lengths = length(capsules)
        target = multi_hot(batch.y, network.classes)
        terms = {
            "margin": margin_loss(
                lengths,
                target,
                m_plus=config.m_plus,
                m_minus=config.m_minus,
                absent_weight=config.absent_weight,
            )
        }
        if network.decoder is not None:
            chosen = target if self.training else network.predicted(lengths)
            error = network.decoder(capsules, chosen) - image
            terms["reconstruction"] = error.square().sum((1, 2, 3)).mean()
        return terms, lengths

    def optimization(self) -> Optimization:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr, fused=True)
        return Optimization(optimizer, self.config.scheduler(optimizer))
