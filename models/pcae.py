"""Part capsules: an image explained by templates in poses.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818), section
2.2; details as in the authors' code.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.canvas import place, sobel
from models.layers.mixture import pixel_mixture
from models.layers.numerics import at_least_float32
from models.layers.part_encoders import AttentionPooling, EncoderKind, channels_last, encoder
from models.layers.parts import Parts
from models.layers.recipes import RecipeConfig, recipe
from models.layers.templates import affine_pose, inverse, warp
from models.registry import register
from models.variant import Coded, Images, ImageShape, Optimization, Picture, Variant

LEAST_PRESENCE = 1e-16
"""Presences are kept from 0 by this where their logarithm is taken."""
COLOUR_HIDDEN = 32
"""Authors' code: hidden units of the MLP from a part's features to its colour."""


class PartConfig(RecipeConfig):
    """Sizes, options and loss weights of a part autoencoder."""

    part_capsules: int = Field(16, ge=1, description="part capsules, M")
    part_dims: Literal[4, 6] = Field(
        6, description="numbers of a pose: 6 affine, 4 similarity (scale, rotation, translation)"
    )
    part_features: int = Field(16, ge=0, description="features of a part")
    template_size: int = Field(11, ge=2, le=64, description="side of a template, in its pixels")
    canvas: int = Field(
        0, ge=0, le=128, description="least side of the canvas that images are placed on"
    )
    encoder: EncoderKind = Field(
        "conv", description="encoder: the authors' four convolutions, residual blocks, wide strides"
    )
    encoder_channels: int = Field(128, ge=1, description="channels of the encoder's maps")
    presence_noise: float = Field(
        2.0, ge=0, le=10, description="half-width of the noise on presence logits in training"
    )
    target: Literal["image", "sobel"] = Field("image", description="reconstruct pixels, or edges")
    alpha: bool = Field(False, description="templates have learned mixing logits of their own")
    invert: bool = Field(True, description="templates are drawn by the inverse of the pose")
    colour: bool = Field(False, description="grey templates, coloured by the parts' features")
    decoder_lr: float = Field(
        1.0, gt=0, le=100, description="coefficient of the decoder's learning rate"
    )
    likelihood_weight: float = Field(1.0, ge=0, description="weight of the image's likelihood")
    template_l1_weight: float = Field(0.0, ge=0, description="weight of the templates' mean value")
    mse_weight: float = Field(0.0, ge=0, description="weight of the squared reconstruction error")
    presence_within_weight: float = Field(
        0.0, ge=0, description="weight of l2 sparsity of presences within a sample, over parts"
    )
    presence_between_weight: float = Field(
        0.0, ge=0, description="weight of l2 sparsity of presences of a part, over the batch"
    )


class Views(NamedTuple):
    """A batch of images on their canvas, (batch, channels, height, width) in [0, 1]."""

    image: Tensor
    target: Tensor
    """What is to be reconstructed: the image, or its edges."""


class Decoded(NamedTuple):
    """Parts drawn as an image. `drawn`, `mixing` and `responsibility` have parts first."""

    log_likelihood: Tensor
    """(batch,) nats of the target."""
    reconstruction: Tensor
    """(batch, channels, height, width): the mixture's mean."""
    drawn: Tensor
    """(M, channels, batch, height, width): each part's template in its pose and colour."""
    mixing: Tensor
    """(M, batch, height, width): mixing weights; what is left is the background's."""
    responsibility: Tensor
    """(M, batch, height, width): the same given the target."""

    @property
    def mass(self) -> Tensor:
        """(batch, M): the share of the canvas that each part explains."""
        return self.responsibility.mean((2, 3)).T


class PartEncoder(nn.Module):
    """Image to parts: a CNN, and attention pooling of its maps for each part."""

    def __init__(self, *, channels: int, size: tuple[int, int], config: PartConfig) -> None:
        super().__init__()
        width, self.dims = config.encoder_channels, config.part_dims
        self.noise = config.presence_noise
        self.features = encoder(config.encoder, channels=channels, width=width, side=min(size))
        self.pooling = AttentionPooling(
            inputs=width,
            parts=config.part_capsules,
            dims=config.part_dims + 1 + config.part_features,
        )

    def forward(self, image: Tensor, *, noisy: bool = False) -> Parts:
        numbers = self.pooling(self.features(channels_last(image)))
        pose, logit = at_least_float32(numbers[..., : self.dims + 1]).split((self.dims, 1), -1)
        if noisy:
            logit = logit + self.noise * (2 * torch.rand_like(logit) - 1)
        features = numbers[..., self.dims + 1 :]
        return Parts(affine_pose(pose), logit.squeeze(-1).sigmoid(), features)


class TemplateDecoder(nn.Module):
    """Parts to a mixture, at each pixel, of their templates in their poses, and a background.

    Mixing weights are softmax(logit + log presence). The logits are learned with the templates
    (`alpha`), or else the templates' values over a learned temperature: what is bright is opaque.
    """

    def __init__(self, *, channels: int, config: PartConfig) -> None:
        super().__init__()
        if config.colour and config.part_features == 0:
            raise ValueError("colours come from the parts' features: part_features is 0")
        self.invert = config.invert
        side = config.template_size
        sizes = (config.part_capsules, 1 if config.colour else channels, side, side)
        self.template_logits = nn.Parameter(torch.empty(sizes).uniform_(-2, 2))
        self.alpha = (
            nn.Parameter(torch.zeros(config.part_capsules, 1, side, side)) if config.alpha else None
        )
        self.temperature = None if config.alpha else nn.Parameter(torch.zeros(()))
        self.background = nn.Parameter(torch.full((channels,), -2.0))
        self.background_logit = nn.Parameter(torch.zeros(()))
        self.colour = (
            nn.Sequential(
                nn.Linear(config.part_features, COLOUR_HIDDEN),
                nn.ReLU(),
                nn.Linear(COLOUR_HIDDEN, channels),
            )
            if config.colour
            else None
        )

    @property
    def templates(self) -> Tensor:
        """(M, channels or 1, side, side) in [0, 1]."""
        return self.template_logits.sigmoid()

    @property
    def sharpness(self) -> Tensor | None:
        """Mixing logits are a template's values times this, where it has no logits of its own."""
        if self.temperature is None:
            return None
        return 1 / (F.softplus(self.temperature + 0.5) + 1e-4)

    def forward(self, parts: Parts, target: Tensor) -> Decoded:
        maps = at_least_float32(parts.pose)
        maps = inverse(maps) if self.invert else maps
        size = (target.shape[2], target.shape[3])
        drawn = warp(self.templates, maps, size)
        if self.colour is not None:
            colour = at_least_float32(self.colour(parts.features)).sigmoid()
            drawn = drawn * colour.permute(1, 2, 0)[..., None, None]
        logits = None if self.alpha is None else warp(self.alpha, maps, size).squeeze(1)
        mixture = pixel_mixture(
            target,
            drawn,
            logits,
            self.sharpness,
            at_least_float32(parts.presence).clamp_min(LEAST_PRESENCE).log(),
            self.background.sigmoid(),
            F.softplus(self.background_logit),
        )
        return Decoded(
            mixture.log_likelihood,
            mixture.mean,
            drawn.detach(),
            mixture.mixing,
            mixture.responsibility,
        )


class PartAutoencoder(nn.Module):
    """Image to parts, and back."""

    def __init__(self, *, shape: ImageShape, config: PartConfig) -> None:
        super().__init__()
        self.size = (max(shape.height, config.canvas), max(shape.width, config.canvas))
        self.edges = config.target == "sobel"
        self.encoder = PartEncoder(channels=shape.channels, size=self.size, config=config)
        self.decoder = TemplateDecoder(channels=shape.channels, config=config)

    def views(self, x: Tensor, *, shifted: bool = False) -> Views:
        """Images on the canvas, centred, or each placed at random, and what to reconstruct."""
        channels = x.shape[1]
        if not self.edges:
            image = place(x, self.size, shifted=shifted)
            return Views(image, image)
        both = place(torch.cat([x, sobel(x)], 1), self.size, shifted=shifted)
        return Views(both[:, :channels], both[:, channels:])

    def encode(self, image: Tensor, *, noisy: bool = False) -> Parts:
        """Images on their canvas to parts; `noisy` in training."""
        return self.encoder(image, noisy=noisy)

    def decode(self, parts: Parts, target: Tensor) -> Decoded:
        """The target's likelihood, given the parts, and what they draw."""
        return self.decoder(parts, target)


class PartVariant(Variant):
    """What variants with a part autoencoder share: its loss terms, recipe and pictures."""

    config: PartConfig
    network: PartAutoencoder

    def image_terms(self, parts: Parts, views: Views, decoded: Decoded) -> dict[str, Tensor]:
        """`nll`, `template_l1`, `mse`, and l2 sparsity of presences: see `loss_weights`."""
        reconstruction = decoded.reconstruction
        if self.config.mse_weight == 0:  # its gradient costs time and would come to nothing
            reconstruction = reconstruction.detach()
        sparsity = prior_sparsity(parts.presence, self.shape.classes)
        return {
            "nll": -decoded.log_likelihood.mean(),
            "template_l1": self.network.decoder.templates.mean(),
            "mse": F.mse_loss(reconstruction, views.target),
            "presence_within": sparsity["prior_within"],
            "presence_between": sparsity["prior_between"],
        }

    @property
    def loss_weights(self) -> dict[str, float]:
        config = self.config
        return {
            "nll": config.likelihood_weight,
            "template_l1": config.template_l1_weight,
            "mse": config.mse_weight,
            "presence_within": config.presence_within_weight,
            "presence_between": config.presence_between_weight,
        }

    def optimization(self) -> Optimization:
        decoder = list(self.network.decoder.parameters())
        inside = {id(p) for p in decoder}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in inside]
        lr = self.config.lr
        groups = [{"params": rest}, {"params": decoder, "lr": lr * self.config.decoder_lr}]
        return recipe(groups, self.config)


def prior_sparsity(presence, classes):
    batch, capsules = presence.shape
    return {
        "prior_within": (presence.sum(1) - capsules / classes).square().mean(),
        "prior_between": (presence.sum(0) - batch / classes).square().mean(),
    }


@register("pcae", task="autoencoding")
class PCAE(PartVariant):
    """The part capsule autoencoder (Kosiorek et al. 2019)."""

    Config = PartConfig

    def __init__(self, *, shape: ImageShape, config: PartConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.network = PartAutoencoder(shape=shape, config=config)

    def forward(self, x: Tensor) -> Coded:
        return self._coded(self.network.views(x))[1]

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        views = self.network.views(batch.x, shifted=self.training)
        (parts, decoded), coded = self._coded(views, noisy=self.training)
        return self.image_terms(parts, views, decoded), coded

    def _coded(self, views: Views, *, noisy: bool = False):
        parts = self.network.encode(views.image, noisy=noisy)
        decoded = self.network.decode(parts, views.target)
        coded = Coded(decoded.mass, parts.presence, views.target, decoded.reconstruction, decoded.log_likelihood)
        return (parts, decoded), coded
