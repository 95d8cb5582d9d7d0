"""Implements the Capsule Transformer: capsules of each frame, attention over time, a decoder.

The system is public code without a paper (JAX, "SACap"); its sizes and its recipe are the defaults
of this file. Capsules: Sabour, Frosst, Hinton 2017 (arXiv 1710.09829).

The textbook version is models/textbook/capsule_transformer.py.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.brightness import BrightnessConfig, set_initial_brightness
from models.layers.frame_capsules import FrameCapsules, ObjectCapsules
from models.layers.images import fold, unfold
from models.layers.numerics import at_least_float32
from models.layers.recipes import adamw
from models.layers.temporal_transformer import TemporalTransformer
from models.registry import register
from models.variant import (
    Clips,
    ClipShape,
    Optimization,
    Picture,
    SourceBudget,
    Variant,
    later_field,
)


class CapsuleTransformerConfig(BrightnessConfig):
    """Holds sizes and recipe of the public code; its planned extensions are off by default."""

    past: int = Field(16, ge=1, description="past frames, which the model reads")
    future: int = Field(1, ge=1, description="future frames, which the model predicts")
    size: int = Field(
        32, ge=8, le=64, description="side of a frame in pixels; smaller than 64: by area averaging"
    )
    batch_size: int = Field(16, ge=1, description="samples per training step")
    num_capsules: int = Field(16, ge=1, description="capsules at each position of a frame")
    capsule_dim: int = Field(8, ge=1, description="dimensions of a capsule")
    num_heads: int = Field(2, ge=1, description="heads of the attention over frames")
    head_dim: int = Field(16, ge=1, description="dimensions of a head")
    hidden_dim: int = Field(256, ge=1, description="width of the feed-forward and of the decoder")
    decoder_channels: int = Field(
        32,
        ge=4,
        multiple_of=4,
        description="channels of the decoder's first maps; each doubling of the sides halves them",
    )
    projection: Literal["dense", "shared"] = Field(
        "dense",
        description="tokens: one per frame (dense), or one per position or object (shared weights)",
    )
    patch_size: int = Field(1, ge=1, description="side of the patches folded into channels")
    frames_per_step: int = Field(
        1, ge=1, description="frames predicted at once, before the window slides"
    )
    routing_iterations: int = Field(
        0, ge=0, le=20, description="iterations of routing to object capsules; 0: no routing"
    )
    routing: Literal["agreement", "em"] = later_field(
        "agreement", description="how capsules are routed, if they are: by agreement, or by EM"
    )
    object_capsules: int = Field(
        16, ge=1, description="object capsules of a frame, if capsules are routed"
    )
    object_dim: int = Field(16, ge=2, description="dimensions of an object capsule")
    skip: bool = Field(
        False, description="whether the decoder also reads the last frame and its capsules"
    )
    upsampling: Literal["transposed", "resized"] = later_field(
        "transposed",
        description="how the decoder doubles the sides: by a transposed convolution, or by "
        "repeated pixels and a convolution, which has no checkerboard",
    )
    attention: Literal["place", "all"] = later_field(
        "place",
        description="what a token attends to in each frame: the token of its own place, or all "
        "(with projection shared)",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of attention and feed-forward")
    latent_dim: int = Field(0, ge=0, description="dimensions of a stochastic latent; 0: none")
    kl_weight: float = Field(1e-3, ge=0, description="weight of the latent's KL term")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay (AdamW)")
    clip_norm: float = Field(1.0, gt=0, description="largest global norm of the gradients")
    clip_value: float = Field(
        1.0, gt=0, description="largest absolute value in a gradient, applied after clip_norm"
    )


class RepeatPixels(nn.Module):
    """Doubles the sides of maps: each pixel becomes a square of four equal ones."""

    def forward(self, maps: Tensor) -> Tensor:
        """Returns (batch, channels, 2·height, 2·width) for (batch, channels, height, width)."""
        repeated = maps[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2)
        return repeated.flatten(4, 5).flatten(2, 3)


def _transposed(inputs: int, outputs: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)


def _resized(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(RepeatPixels(), nn.Conv2d(inputs, outputs, 3, padding=1))


class SkipInputs(NamedTuple):
    """Holds the last frame and its capsules, for a decoder with skip connections."""

    frame: Tensor
    """(batch, channels, height, width) in [−1, 1]."""
    capsules: Tensor
    """(batch, height/2 · width/2, channels): the frame's capsules, concatenated per position."""


class Decoder(nn.Module):
    """Decodes tokens to frames.

    A dense layer is followed by the optional latent, a second dense layer to height/4 × width/4
    positions, two transposed convolutions that each double the sides, a convolution, and tanh. With
    `upsampling="resized"`, pixels are repeated and a 3×3 convolution follows (Odena, Dumoulin, Olah
    2016: Deconvolution and checkerboard artifacts), in place of each transposed convolution. If
    each position is a token, a 3×3 convolution of stride 2 replaces the first dense layer, and the
    second layer is shared by the positions.
    """

    def __init__(
        self,
        *,
        tokens: int,
        width: int,
        channels: int,
        size: tuple[int, int],
        config: CapsuleTransformerConfig,
    ) -> None:
        super().__init__()
        self.size = size
        self.grid = config.projection == "shared" and not config.routing_iterations
        hidden, first = config.hidden_dim, config.decoder_channels
        self.context: nn.Module = (
            nn.Conv2d(width, hidden, 3, stride=2, padding=1)
            if self.grid
            else nn.Linear(tokens * width, hidden)
        )
        latent = config.latent_dim
        self.latent = nn.Linear(hidden, 2 * latent) if latent else None
        places = 1 if self.grid else math.prod(size) // 16
        self.positions = nn.Linear(latent or hidden, places * first)
        capsules = config.num_capsules * config.capsule_dim if config.skip else 0
        seen = channels if config.skip else 0
        doubling = _resized if config.upsampling == "resized" else _transposed
        self.to_half = doubling(first, first // 2)
        self.to_full = doubling(first // 2 + capsules, first // 4)
        self.frames = nn.Conv2d(first // 4 + seen, channels * config.frames_per_step, 3, padding=1)
        set_initial_brightness(self.frames, config.initial_brightness, activation="tanh")

    def forward(self, x: Tensor, last: SkipInputs | None) -> tuple[Tensor, Tensor | None]:
        """Decodes tokens.

        Args:
            x: (batch, tokens, width).
            last: the last frame and its capsules; None without skip connections.

        Returns:
            Frames (batch, frames_per_step·channels, height, width) in [−1, 1]. Then the latent's
            divergence from its prior, a scalar; None if there is no latent.
        """
        rows, columns = self.size
        if self.grid:
            maps = x.unflatten(1, (rows // 2, columns // 2)).permute(0, 3, 1, 2)
            hidden = self.context(maps).permute(0, 2, 3, 1)
        else:
            hidden = self.context(x.flatten(1))
        hidden, divergence = self.sample_latent(F.gelu(hidden))
        hidden = F.gelu(self.positions(hidden)).view(len(x), rows // 4, columns // 4, -1)
        maps = F.gelu(self.to_half(hidden.permute(0, 3, 1, 2)))
        if last is not None:
            capsules = last.capsules.unflatten(1, (rows // 2, columns // 2)).permute(0, 3, 1, 2)
            maps = torch.cat([maps, capsules.to(maps.dtype)], dim=1)
        maps = F.gelu(self.to_full(maps))
        if last is not None:
            maps = torch.cat([maps, last.frame.to(maps.dtype)], dim=1)
        return at_least_float32(self.frames(maps)).tanh(), divergence

    def sample_latent(self, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """Draws the latent from a normal distribution; in evaluation it is the distribution's mean.

        Args:
            hidden: (..., hidden_dim).

        Returns:
            The latent (..., latent_dim); `hidden` itself if there is no latent. Then its divergence
            from the standard normal distribution, ½Σ(μ² + σ² − 1 − log σ²), averaged over the batch
            (Kingma, Welling 2014, appendix B); None if there is no latent.
        """
        if self.latent is None:
            return hidden, None
        mean, log_variance = at_least_float32(self.latent(hidden)).chunk(2, dim=-1)
        terms = mean.square() + log_variance.exp() - 1 - log_variance
        if self.training:
            mean = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return mean, terms.sum() / (2 * len(hidden))


@register("capsule-transformer", task="prediction")
class CapsuleTransformer(Variant):
    """Predicts frames by attention over the capsules of past frames (SACap).

    Frames are mapped from [0, 1] to [−1, 1] and back. The loss is computed in [−1, 1]: at 1×32×32,
    this mean squared error is 1/256 of the squared error summed over a frame in [0, 1]. Nothing is
    padded or resized. With `patch_size` p, p×p pixels are folded into channels first and unfolded
    at the end; both sides must be multiples of 4p. The default size at 1×32×32 is 30,713,410
    parameters, most of them in dense layers on the flattened frame; `projection="shared"` has no
    such layers.

    If more future frames than `frames_per_step` are to be predicted, the window of past frames
    slides over the predictions, in training as in evaluation. The loss is thus that of the
    evaluated frames, its gradient passes through all steps, and no true future frame is ever an
    input.

    Recipe: Adam. Gradients are clipped to a global norm of 1. The norm of the public code is not
    known; 1 is its bound of the values. At this norm, the code's clipping by value to ±1 changes
    nothing. Layers have PyTorch's initial weights.
    """

    Config = CapsuleTransformerConfig
    config: CapsuleTransformerConfig
    published_budgets: ClassVar = {
        "moving_mnist": SourceBudget(
            "the public code: 16 past frames and 1 future frame of 32×32 pixels",
            train_samples=5_000,
            epochs=300,
        )
    }

    def __init__(self, *, shape: ClipShape, config: CapsuleTransformerConfig) -> None:
        super().__init__(shape=shape, config=config)
        patch, multiple = config.patch_size, 4 * config.patch_size
        if shape.height % multiple or shape.width % multiple:
            raise ValueError(
                f"frames of {shape.height}×{shape.width} pixels: both sides must be multiples "
                f"of {multiple}, four times patch_size"
            )
        self.past, self.future = shape.past, shape.future
        channels = shape.channels * patch**2
        size = (shape.height // patch, shape.width // patch)
        positions = (size[0] // 2, size[1] // 2)
        self.capsules = FrameCapsules(
            channels, capsules=config.num_capsules, dims=config.capsule_dim
        )
        self.objects = (
            ObjectCapsules(
                size=positions,
                capsules=config.num_capsules,
                dims=config.capsule_dim,
                objects=config.object_capsules,
                object_dims=config.object_dim,
                iterations=config.routing_iterations,
                em=config.routing == "em",
            )
            if config.routing_iterations
            else None
        )
        tokens, width = math.prod(positions), config.num_capsules * config.capsule_dim
        if config.routing_iterations:
            tokens, width = config.object_capsules, config.object_dim
        if config.projection == "dense":
            tokens, width = 1, tokens * width
        self.tokens = tokens
        self.transformer = TemporalTransformer(
            frames=shape.past,
            width=width,
            heads=config.num_heads,
            head_dim=config.head_dim,
            hidden=config.hidden_dim,
            dropout=config.dropout,
            places=tokens if config.attention == "all" else None,
        )
        self.decoder = Decoder(
            tokens=tokens, width=width, channels=channels, size=size, config=config
        )

    def forward(self, past: Tensor) -> Tensor:
        """Predicts the future frames.

        Args:
            past: (batch, past frames, channels, height, width) in [0, 1].

        Returns:
            (batch, future frames, channels, height, width) in [0, 1].
        """
        return self._predict(past)[0]

    def loss(self, batch: Clips) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss terms `mse` and, with a latent, `kl`.

        `mse` is the squared error in [−1, 1], averaged over sequences, frames and pixels. `kl` is
        the latent's divergence, summed over its dimensions and averaged over steps and sequences.

        Args:
            batch: past and future frames.

        Returns:
            The loss terms by name, and the predicted frames as `forward` returns them.
        """
        frames, divergence = self._predict(batch.past)
        terms = {"mse": 4 * F.mse_loss(frames, batch.future)}
        if divergence is not None:
            terms["kl"] = divergence
        return terms, frames

    @property
    def loss_weights(self) -> dict[str, float]:
        return {"kl": self.config.kl_weight}

    def _predict(self, past: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns future frames in [0, 1], and the latent's divergence, averaged over the steps."""
        patch, steps = self.config.patch_size, self.config.frames_per_step
        window = fold(2 * past - 1, patch)
        tokens, capsules = self._encode(window)
        windows: list[Tensor] = []
        divergences: list[Tensor] = []
        while True:
            last = SkipInputs(window[:, -1], capsules) if self.config.skip else None
            frames, divergence = self.decoder(self.transformer(tokens), last)
            window = frames.unflatten(1, (steps, -1))
            windows.append(window)
            if divergence is not None:
                divergences.append(divergence)
            if len(windows) * steps >= self.future:
                break
            following, capsules = self._encode(window)
            tokens = torch.cat([tokens, following], dim=1)[:, -self.past :]
        predicted = torch.cat(windows, dim=1)[:, : self.future]
        return unfold((predicted + 1) / 2, patch), (
            torch.stack(divergences).mean() if divergences else None
        )

    def _encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes frames (batch, frames, channels, height, width).

        Returns tokens (batch, frames, tokens, width), and the last frame's capsules (batch,
        positions, channels).
        """
        capsules = self.capsules(frames.flatten(0, 1))
        found = capsules if self.objects is None else self.objects(capsules)
        tokens = found.reshape(*frames.shape[:2], self.tokens, -1)
        return tokens, capsules.flatten(2).unflatten(0, frames.shape[:2])[:, -1]

    def pictures(self, batch: Clips) -> dict[str, Picture]:
        """Draws the last two past frames, the next frame and its prediction, each in a row.

        Args:
            batch: past and future frames.

        Returns:
            Pictures by name.
        """
        truth, predicted = batch.future[:, 0], self(batch.past)[:, 0]
        rows = [*batch.past[:, -2:].unbind(1), truth, predicted]
        return {"next_frames": [list(row) for row in rows]}

    def optimization(self) -> Optimization:
        config = self.config
        # Without weight decay AdamW is Adam.
        optimizer = adamw(self, lr=config.lr, weight_decay=config.weight_decay)
        return Optimization(optimizer, clip_norm=config.clip_norm, clip_value=config.clip_value)
