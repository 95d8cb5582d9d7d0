"""Implements part capsules: an encoder of parts and a decoder of templates.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2.2; details follow the authors' code.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.affine import affine
from models.layers.images import StandardisedConfig, channels_last, place, sobel
from models.layers.initialisation import initialise_as_sonnet
from models.layers.mixture import colour_factors, pixel_mixture
from models.layers.numerics import at_least_float32
from models.layers.part_encoders import AttentionPooling, EncoderKind, encoder, maps_shape
from models.layers.parts import Parts
from models.layers.recipes import RecipeConfig
from models.layers.templates import inverse, warp
from models.variant import Coded, ImageShape

PRESENCE_FLOOR = 1e-16
"""Lower bound that presences are clamped to before their logarithm is taken."""
COLOUR_HIDDEN = 32
"""Hidden units of the MLP from a part's features to its colour, as in the authors' code."""


class PartConfig(StandardisedConfig, RecipeConfig):
    """Holds sizes, options and loss weights of a part autoencoder."""

    part_capsules: int = Field(16, ge=1, description="part capsules, M")
    part_dims: Literal[4, 6] = Field(
        6, description="numbers per pose: 6 for affine maps, 4 for similarity transforms"
    )
    part_features: int = Field(16, ge=0, description="features per part")
    template_size: int = Field(11, ge=2, le=64, description="side of a template in pixels")
    max_side: int = Field(
        0,
        ge=0,
        le=128,
        description="side that larger images are resized to by area averaging; 0: no resizing",
    )
    canvas: int = Field(
        0, ge=0, le=128, description="smallest side of the canvas that images are placed on"
    )
    scheduler: Literal["constant", "exp", "cosrestarts"] = Field(
        "cosrestarts",
        description="learning rate: constant, exponential decay, cosine with restarts",
    )
    encoder: EncoderKind = Field(
        "conv", description="encoder: the authors' four convolutions, residual blocks, wide strides"
    )
    encoder_channels: int = Field(128, ge=1, description="channels of the encoder's maps")
    presence_noise: float = Field(
        2.0,
        ge=0,
        le=10,
        description="half-width of the uniform noise on presence logits in training",
    )
    target: Literal["image", "sobel"] = Field(
        "image", description="what is reconstructed: pixels, or edges"
    )
    alpha: bool = Field(False, description="whether templates have learned mixing logits")
    invert: bool = Field(True, description="whether templates are drawn by the inverse of the pose")
    colour: bool = Field(
        False, description="whether templates are grey and coloured by the parts' features"
    )
    decoder_lr: float = Field(
        1.0, gt=0, le=100, description="factor of the learning rate for the decoder"
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
    """Holds a batch of images on their canvas: what is encoded, and what is reconstructed."""

    image: Tensor
    """(batch, channels, height, width): what the encoder reads, in [0, 1] or standardised."""
    target: Tensor
    """(batch, channels, height, width) in [0, 1]: what is reconstructed, the image or its edges."""


class Decoded(NamedTuple):
    """Holds parts drawn as images, and the likelihood of the target."""

    log_likelihood: Tensor
    """(batch,) nats of the target."""
    reconstruction: Tensor
    """(batch, channels, height, width): the mixture's mean."""
    plain: Tensor
    """(M, channels or 1, batch, height, width): each part's template in its pose, uncoloured."""
    colour: Tensor | None
    """(batch, M, channels): the parts' colours; None if templates are not coloured."""
    mixing: Tensor
    """(M, batch, height, width): weights of the parts; the background's is 1 minus their sum."""
    responsibility: Tensor
    """(M, batch, height, width): posterior weights of the parts, given the target."""

    @property
    def drawn(self) -> Tensor:
        """Returns the coloured templates in their poses: (M, channels, batch, height, width)."""
        if self.colour is None:
            return self.plain
        return self.plain * colour_factors(self.colour)

    @property
    def mass(self) -> Tensor:
        """Returns the fraction of the canvas that each part explains: (batch, M)."""
        return self.responsibility.mean((2, 3)).T

    def coded(self, code: Tensor, prior: Tensor, target: Tensor) -> Coded:
        """Joins a code to this reconstruction.

        Args:
            code: (batch, capsules), the posterior presences of part or object capsules.
            prior: (batch, capsules), their prior presences.
            target: (batch, channels, height, width), what is reconstructed.

        Returns:
            The output of an autoencoding variant.
        """
        return Coded(
            code=code,
            prior=prior,
            target=target,
            reconstruction=self.reconstruction,
            log_likelihood=self.log_likelihood,
        )

    def coloured(self, colours: Tensor) -> Tensor:
        """Draws the reconstruction with each part in a given colour.

        Args:
            colours: (M, 3) or (batch, M, 3), in [0, 1].

        Returns:
            (batch, 3, height, width).
        """
        ink = self.mixing * self.drawn.mean(1)
        colours = colours.to(ink).expand(ink.shape[1], -1, -1)
        return torch.einsum("mbhw,bmc->bchw", ink, colours)


class PartEncoder(nn.Module):
    """Encodes images as parts, by a CNN and one attention over positions per part."""

    def __init__(self, *, channels: int, size: tuple[int, int], config: PartConfig) -> None:
        super().__init__()
        width, self.dims = config.encoder_channels, config.part_dims
        self.noise = config.presence_noise
        self.features = encoder(config.encoder, channels=channels, width=width, side=min(size))
        self.pooling = AttentionPooling(
            maps=maps_shape(self.features, (channels, *size)),
            parts=config.part_capsules,
            dims=config.part_dims + 1 + config.part_features,
        )
        initialise_as_sonnet(self)

    def forward(self, image: Tensor, *, noisy: bool = False) -> Parts:
        """Finds the parts of images.

        Args:
            image: (batch, channels, height, width), on the canvas.
            noisy: whether uniform noise is added to the presence logits, as in training.

        Returns:
            The parts.
        """
        numbers = self.pooling(self.features(channels_last(image)))
        pose, logit = at_least_float32(numbers[..., : self.dims + 1]).split((self.dims, 1), -1)
        if noisy:
            logit = logit + self.noise * (2 * torch.rand_like(logit) - 1)
        features = numbers[..., self.dims + 1 :]
        return Parts(_affine_map(pose), logit.squeeze(-1).sigmoid(), features)


def _affine_map(numbers: Tensor) -> Tensor:
    """Computes affine maps (..., 6) from six numbers each, or from four (similarity transforms)."""
    if numbers.shape[-1] == 6:
        scale_x, scale_y, rotation, shear, x, y = numbers.unbind(-1)
        return torch.stack(affine((scale_x, scale_y, rotation, shear, x, y)), -1)
    scale, rotation, x, y = numbers.unbind(-1)
    return torch.stack(affine((scale, scale, rotation, rotation, x, y), similarity=True), -1)


class TemplateDecoder(nn.Module):
    """Draws parts: mixes, at each pixel, templates in the parts' poses and a background.

    Mixing weights are softmax(logit + log presence). With `alpha`, each pixel of a template has a
    learned logit, and the background has one. Without `alpha`, the logit of a template or
    background is its value at the pixel, averaged over channels and divided by a learned
    temperature, so that bright pixels are opaque. The mean is used since a component has one mixing
    weight for all channels of a pixel; in the authors' code, each channel has its own weight.

    Initial values differ from those of the authors' code. In their code, templates are orthogonal
    and grey, from 0.5 to 0.73, and the background and the temperature are random. Here templates
    are random from 0.12 to 0.88, and the background is dark.
    """

    def __init__(self, *, channels: int, config: PartConfig) -> None:
        super().__init__()
        if config.colour and config.part_features == 0:
            raise ValueError(
                "colour needs features of the parts, but part_features is 0: "
                "take at least one feature, or no colour"
            )
        self.invert = config.invert
        side = config.template_size
        sizes = (config.part_capsules, 1 if config.colour else channels, side, side)
        self.template_logits = nn.Parameter(torch.empty(sizes).uniform_(-2, 2))
        self.alpha = (
            nn.Parameter(torch.zeros(config.part_capsules, 1, side, side)) if config.alpha else None
        )
        self.temperature = None if config.alpha else nn.Parameter(torch.zeros(()))
        self.background = nn.Parameter(torch.full((channels,), -2.0))
        self.background_logit = nn.Parameter(torch.zeros(())) if config.alpha else None
        self.colour = (
            nn.Sequential(
                nn.Linear(config.part_features, COLOUR_HIDDEN),
                nn.ReLU(),
                nn.Linear(COLOUR_HIDDEN, channels),
            )
            if config.colour
            else None
        )
        initialise_as_sonnet(self)

    @property
    def templates(self) -> Tensor:
        """Returns the templates, (part capsules, channels, side, side) in [0, 1]; one channel if
        parts colour them.
        """
        return self.template_logits.sigmoid()

    @property
    def sharpness(self) -> Tensor | None:
        """Returns the factor that turns a template's values into mixing logits; None if `alpha`
        has logits of its own.
        """
        if self.temperature is None:
            return None
        return 1 / (F.softplus(self.temperature + 0.5) + 1e-4)

    @property
    def ground_logit(self) -> Tensor:
        """Returns the background's mixing logit, a scalar."""
        if self.background_logit is not None:
            return F.softplus(self.background_logit)
        assert self.sharpness is not None
        return self.background.sigmoid().mean() * self.sharpness

    def colours(self, parts: Parts) -> Tensor | None:
        """Computes the colours of parts from their features.

        Args:
            parts: the parts of a batch of images.

        Returns:
            (batch, M, channels) in [0, 1]; None if templates are not coloured.
        """
        if self.colour is None:
            return None
        return at_least_float32(self.colour(parts.features)).sigmoid()

    def forward(self, parts: Parts, target: Tensor) -> Decoded:
        """Draws parts, and computes the likelihood of the target.

        Args:
            parts: the parts of a batch of images.
            target: (batch, channels, height, width) in [0, 1].

        Returns:
            Likelihood, reconstruction and weights; templates, colours and weights have no gradient.
        """
        maps = at_least_float32(parts.pose)
        maps = inverse(maps) if self.invert else maps
        templates = self.templates
        if self.alpha is not None:  # drawn together, since values and logits share coordinates
            templates = torch.cat([templates, self.alpha], 1)
        drawn = warp(templates, maps, (target.shape[2], target.shape[3]))
        colour = self.colours(parts)
        mixture = pixel_mixture(
            target,
            drawn,
            colour,
            self.sharpness,
            at_least_float32(parts.presence).clamp_min(PRESENCE_FLOOR).log(),
            self.background.sigmoid(),
            self.ground_logit,
        )
        return Decoded(
            mixture.log_likelihood,
            mixture.mean,
            drawn.detach()[:, : self.templates.shape[1]],
            None if colour is None else colour.detach(),
            mixture.mixing,
            mixture.responsibility,
        )


class PartAutoencoder(nn.Module):
    """Encodes images as parts, and decodes parts to images."""

    def __init__(self, *, shape: ImageShape, config: PartConfig) -> None:
        super().__init__()
        most = config.max_side or max(shape.height, shape.width)
        self.resized = (min(shape.height, most), min(shape.width, most))
        self.size = (max(self.resized[0], config.canvas), max(self.resized[1], config.canvas))
        self.edges, self.standardised = config.target == "sobel", config.standardise
        self.prepare = config.prepare
        self.encoder = PartEncoder(channels=shape.channels, size=self.size, config=config)
        self.decoder = TemplateDecoder(channels=shape.channels, config=config)

    def views(self, x: Tensor, *, shifted: bool = False) -> Views:
        """Resizes images, and places on the canvas what is encoded and what is reconstructed.

        Images are standardised, and their edges are found, before they are placed on the canvas.
        The zeros around a standardised image are thus equal to its mean, and the border of an image
        is no edge.

        Args:
            x: (batch, channels, height, width) in [0, 1].
            shifted: whether each image is shifted from the centre of the canvas at random, by
                torch's global generator.

        Returns:
            What the encoder reads and what the decoder reconstructs, each of the canvas's size.
        """
        channels = x.shape[1]
        if x.shape[2:] != self.resized:
            x = F.interpolate(x, self.resized, mode="area")
        if not self.edges and not self.standardised:
            image = place(x, self.size, shifted=shifted)
            return Views(image, image)
        read = self.prepare(x)
        target = sobel(x) if self.edges else x
        both = place(torch.cat([read, target], 1), self.size, shifted=shifted)
        return Views(both[:, :channels], both[:, channels:])

    def encode(self, image: Tensor, *, noisy: bool = False) -> Parts:
        """Finds the parts of images.

        Args:
            image: (batch, channels, height, width), on the canvas.
            noisy: whether noise is added to the presence logits, as in training.

        Returns:
            The parts.
        """
        return self.encoder(image, noisy=noisy)

    def templates(self, parts: Parts) -> Tensor:
        """Returns flattened templates, which an object autoencoder reads beside the parts.

        If templates are coloured, they are in the parts' colours, as in the authors' code.

        Args:
            parts: the parts of a batch of images.

        Returns:
            (M, numbers); (batch, M, numbers) if templates are coloured.
        """
        templates, colour = self.decoder.templates, self.decoder.colours(parts)
        if colour is None:
            return templates.flatten(1)
        return (templates * colour[..., None, None]).flatten(2)

    @property
    def template_numbers(self) -> int:
        """Returns how many numbers a template has that `templates` returns."""
        templates, channels = self.decoder.templates, len(self.decoder.background)
        return templates[0, 0].numel() * channels

    def decode(self, parts: Parts, target: Tensor) -> Decoded:
        """Draws parts, and computes the likelihood of the target.

        Args:
            parts: the parts of a batch of images.
            target: (batch, channels, height, width) in [0, 1], on the canvas.

        Returns:
            Likelihood, reconstruction and weights.
        """
        return self.decoder(parts, target)
