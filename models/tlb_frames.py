"""Implements prediction of frames with a Temporal Latent Bottleneck.

The textbook version is models/textbook/tlb_frames.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.brightness import BrightnessConfig, set_initial_brightness
from models.layers.images import check_patches, unfold
from models.layers.numerics import at_least_float32
from models.layers.patch_classifier import PatchTokens
from models.layers.prenorm import EPSILON, head_width, initialise
from models.layers.recipes import adamw
from models.layers.schedules import ScheduleConfig
from models.registry import register
from models.tlb import Bottleneck, paper_schedule
from models.variant import Clips, ClipShape, Optimization, Variant


class TLBFramesConfig(BrightnessConfig, ScheduleConfig):
    """Holds the sizes of both streams, and the recipe; the defaults are ours."""

    batch_size: int = Field(16, ge=1, description="samples per training step")
    patch_size: int = Field(8, ge=1, description="side of a patch in pixels; each patch is a token")
    dim: int = Field(128, ge=1, description="dimensions of a token")
    heads: int = Field(1, ge=1, description="attention heads")
    layers: int = Field(4, ge=1, description="layers of self-attention")
    r: int = Field(2, ge=1, description="layers of self-attention per attention to the state")
    state_length: int = Field(64, ge=1, description="vectors in the state")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of attention and feed-forward")
    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-4, ge=0, description="decoupled weight decay of AdamW")


@register("tlb-frames", task="prediction")
class TLBFrames(Variant):
    """Predicts frames by a Temporal Latent Bottleneck that reads one frame per chunk.

    The patches of a frame are the tokens of one chunk, and the state is carried from frame to
    frame. The patches of the next frame are computed from the fast stream (norm, linear, sigmoid).
    After the past frames the model reads its own predictions, in training too, so that it is
    trained on what is evaluated. The loss is computed over all frames but the first. `patch_size`
    must divide a frame's sides; nothing is resized. No paper describes this variant: task and
    recipe are ours.
    """

    Config = TLBFramesConfig
    config: TLBFramesConfig
    shape: ClipShape

    def __init__(self, *, shape: ClipShape, config: TLBFramesConfig) -> None:
        super().__init__(shape=shape, config=config)
        patch, dim = config.patch_size, config.dim
        check_patches("frames", (shape.height, shape.width), patch)
        self.rows = shape.height // patch
        tokens = self.rows * (shape.width // patch)
        self.tokens = PatchTokens(channels=shape.channels, patch=patch, dim=dim)
        self.positions = nn.Parameter(torch.empty(tokens, dim))
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.bottleneck = Bottleneck(
            paper_schedule(config.layers, config.r),
            dim,
            heads=config.heads,
            head_dim=head_width(dim, config.heads),
            dropout=config.dropout,
        )
        self.state = nn.Parameter(torch.empty(config.state_length, dim))
        self.head_norm = nn.LayerNorm(dim, eps=EPSILON)
        self.head = nn.Linear(dim, shape.channels * patch**2)
        initialise(self)
        # Small weights: with Glorot's, logits have a deviation of 1, and frames another brightness.
        nn.init.normal_(self.head.weight, std=0.02)
        set_initial_brightness(self.head, config.initial_brightness, activation="sigmoid")

    def frames(self, past: Tensor) -> Tensor:
        """Predicts the frame after each past frame, and after each future frame but the last.

        Args:
            past: (batch, past frames, channels, height, width) in [0, 1].

        Returns:
            (batch, past + future - 1, channels, height, width) in [0, 1].
        """
        bottleneck = self.bottleneck.fold()

        def chunks(frames: Tensor) -> Tensor:
            """Maps (batch, frames, channels, height, width) to (batch, frames, tokens, dim)."""
            return bottleneck.apply_local_layers(self.norm(self.tokens(frames) + self.positions))

        given = chunks(past).unbind(1)
        state = self.state.expand(len(past), -1, -1)
        predicted: list[Tensor] = []
        for t in range(self.shape.past + self.shape.future - 1):
            chunk = given[t] if t < len(given) else chunks(predicted[-1].unsqueeze(1))[:, 0]
            fast, state, _ = bottleneck.step(chunk, state)
            predicted.append(self.pixels(fast))
        return torch.stack(predicted, 1)

    def pixels(self, fast: Tensor) -> Tensor:
        """Computes a frame from the fast stream.

        Args:
            fast: (batch, tokens, dim).

        Returns:
            (batch, channels, height, width) in [0, 1].
        """
        pixels = at_least_float32(self.head(self.head_norm(fast))).sigmoid()
        folded = pixels.unflatten(1, (self.rows, -1)).permute(0, 3, 1, 2)
        return unfold(folded, self.config.patch_size)

    def forward(self, past: Tensor) -> Tensor:
        """Predicts the future frames.

        Args:
            past: (batch, past frames, channels, height, width) in [0, 1].

        Returns:
            (batch, future frames, channels, height, width) in [0, 1].
        """
        return self.frames(past)[:, -self.shape.future :]

    def loss(self, batch: Clips) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss term `mse`, the squared error averaged over all predicted numbers.

        The first past frame is left out, since the model does not predict it.

        Args:
            batch: past and future frames.

        Returns:
            The loss term by name, and the predicted future frames.
        """
        predicted = self.frames(batch.past)
        truth = torch.cat([batch.past[:, 1:], batch.future], 1)
        return {"mse": F.mse_loss(predicted, truth)}, predicted[:, -self.shape.future :]

    def optimization(self) -> Optimization:
        config = self.config
        optimizer = adamw(self, lr=config.lr, weight_decay=config.weight_decay)
        return Optimization(optimizer, config.scheduler(optimizer))
