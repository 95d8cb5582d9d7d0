"""Temporal Latent Bottleneck: a sequence read in chunks, and a state that is carried through them.

Didolkar et al.: Temporal Latent Bottleneck: Synthesis of Fast and Slow Processing Mechanisms in
Sequence Learning, NeurIPS 2022 (arXiv 2205.14794).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.brightness import BrightnessConfig, set_initial_brightness
from models.layers.images import check_patches, unfold
from models.layers.numerics import at_least_float32, without_autocast
from models.layers.patch_classifier import PatchClassifier, PatchConfig, PatchTokens
from models.layers.prenorm import (
    EPSILON,
    Attention,
    FeedForward,
    FoldedAttention,
    FoldedFeedForward,
    head_width,
    initialise,
)
from models.layers.recipes import adamw
from models.layers.schedules import ScheduleConfig
from models.registry import register
from models.variant import (
    Clips,
    ClipShape,
    Heat,
    Images,
    ImageShape,
    Optimization,
    Picture,
    SourceBudget,
    Variant,
)


class AttentionTargets(NamedTuple):
    """What a block of the fast stream attends to: itself, the state, or one after the other."""

    itself: bool
    state: bool


def paper_schedule(layers: int, r: int) -> list[AttentionTargets]:
    """`layers` blocks of self-attention; behind each r-th a block attends to the state."""
    blocks = []
    for layer in range(1, layers + 1):
        blocks.append(AttentionTargets(itself=True, state=False))
        if layer % r == 0:
            blocks.append(AttentionTargets(itself=False, state=True))
    return blocks


def keras_schedule(layers: int, r: int) -> list[AttentionTargets]:
    """layers + ⌈layers/r⌉ blocks, all of self-attention; those at 0, r, 2r … also see the state."""
    return [
        AttentionTargets(itself=True, state=i % r == 0)
        for i in range(layers + math.ceil(layers / r))
    ]


class Block(nn.Module):
    """One attention, or two with weights of their own, each with the one feed-forward behind."""

    def __init__(
        self, attends: AttentionTargets, dim: int, *, heads: int, head_dim: int, dropout: float
    ) -> None:
        super().__init__()
        to_itself, to_state = (
            Attention(dim, heads=heads, head_dim=head_dim, dropout=dropout) if wanted else None
            for wanted in attends
        )
        self.to_itself, self.to_state = to_itself, to_state
        self.feed_forward = FeedForward(dim, dropout=dropout)

    def fold(self) -> list[Layer]:
        feed_forward = self.feed_forward.fold()
        attentions = ((self.to_itself, False), (self.to_state, True))
        return [
            Layer(attention.fold(), feed_forward, to_state)
            for attention, to_state in attentions
            if attention is not None
        ]


class Layer(NamedTuple):
    """One attention of a block, folded, with the feed-forward behind it."""

    attention: FoldedAttention
    feed_forward: FoldedFeedForward
    to_state: bool


class Bottleneck(nn.Module):
    """The fast stream's blocks and the slow stream's one, whose queries are the state's."""

    def __init__(
        self,
        schedule: list[AttentionTargets],
        dim: int,
        *,
        heads: int,
        head_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()

        def block(attends: AttentionTargets) -> Block:
            return Block(attends, dim, heads=heads, head_dim=head_dim, dropout=dropout)

        self.fast = nn.ModuleList(map(block, schedule))
        self.slow = block(AttentionTargets(itself=False, state=True))

    def fold(self) -> FoldedBottleneck:
        with without_autocast(next(self.parameters()).device):
            layers = [layer for block in self.fast for layer in cast(Block, block).fold()]
            return FoldedBottleneck(layers, *self.slow.fold())


class FoldedBottleneck:
    """Both streams, with all that depends on weights alone computed."""

    def __init__(self, fast: list[Layer], slow: Layer) -> None:
        first = next((i for i, layer in enumerate(fast) if layer.to_state), len(fast))
        self.local, self.conditioned, self.slow = fast[:first], fast[first:], slow

    def apply_local_layers(self, chunks: Tensor) -> Tensor:
        """The layers before any attends to the state, for many chunks at once.

        chunks: (..., tokens, dim).
        """
        x = chunks.flatten(0, -3)
        for layer in self.local:
            x = layer.feed_forward(layer.attention.self_attention(x))
        return x.view_as(chunks)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The other layers for the next chunk, and what the state makes of it.

        x: (batch, tokens, dim), from `apply_local_layers`; state: (batch, length, dim). Returns both, and the
        scores of the state's attention: (batch, heads, length, tokens).
        """
        for layer in self.conditioned:
            attention = layer.attention
            x = (
                attention.cross_attention(x, state)[0]
                if layer.to_state
                else attention.self_attention(x)
            )
            x = layer.feed_forward(x)
        state, scores = self.slow.attention.cross_attention(state, x)
        return x, self.slow.feed_forward(state), scores


class SequenceOutput(NamedTuple):
    """What is left of a sequence that was read."""

    fast: Tensor
    """(batch, tokens, dim): the last chunk."""
    state: Tensor
    """(batch, length, dim)."""
    scores: list[Tensor]
    """Of each chunk (batch, heads, length, tokens): the state's attention to it."""


class BottleneckConfig(PatchConfig):
    """Sizes of both streams, of the Keras example."""

    chunk_size: int = Field(8, ge=1, description="tokens in a chunk")
    layers: int = Field(4, ge=1, description="layers of self-attention")
    r: int = Field(2, ge=1, description="layers of self-attention for each look at the state")


class TLBConfig(BottleneckConfig):
    """Adds the state's length, and what positions count."""

    positions: Literal["chunk", "image"] = Field(
        "chunk", description="a token's place counts within its chunk, or within the image"
    )
    state_length: int = Field(8, ge=1, description="vectors in the state")


class BottleneckClassifier(PatchClassifier):
    """An image's patches, row by row in chunks, read by a bottleneck."""

    Config = BottleneckConfig
    config: BottleneckConfig
    positions: nn.Parameter

    def __init__(
        self,
        *,
        shape: ImageShape,
        config: BottleneckConfig,
        schedule: list[AttentionTargets],
        head_dim: int,
    ) -> None:
        super().__init__(shape=shape, config=config)
        self.chunks, odd = divmod(self.side**2, config.chunk_size)
        if odd:
            raise ValueError(
                f"{self.side}×{self.side} patches cannot be cut into chunks of {config.chunk_size}"
            )
        self.norm = nn.LayerNorm(config.dim, eps=EPSILON)
        self.bottleneck = Bottleneck(
            schedule,
            config.dim,
            heads=config.heads,
            head_dim=head_dim,
            dropout=config.dropout,
        )
        self.head = nn.Linear(config.dim, shape.classes)

    def initial_state(self, batch: int) -> Tensor:
        """(batch, length, dim)."""
        raise NotImplementedError

    def read(self, image: Tensor) -> SequenceOutput:
        """image: (batch, channels, image_size, image_size)."""
        tokens = self.embed(image).unflatten(1, (self.chunks, -1))
        bottleneck = self.bottleneck.fold()
        chunks = bottleneck.apply_local_layers(self.norm(tokens + self.positions))
        state = self.initial_state(len(image))
        all_scores = []
        for chunk in chunks.unbind(1):
            fast, state, scores = bottleneck.step(chunk, state)
            all_scores.append(scores)
        return SequenceOutput(fast, state, all_scores)

    def pictures(self, batch: Images) -> dict[str, Picture]:
        """Images above the state's attention to their patches."""
        image = self.evaluation_view(batch.x)
        # The token that matters to any of the state's vectors: largest over queries, mean of heads.
        heat = torch.cat([s.amax(2).mean(1) for s in self.read(image).scores], dim=1)
        heats = heat.unflatten(1, (self.side, self.side))
        return {
            "attention": [list(image), [Heat(*pair) for pair in zip(image, heats, strict=True)]]
        }


@register("tlb", task="classification")
class TLB(BottleneckClassifier):
    """Temporal Latent Bottleneck over an image's patches (Didolkar et al. 2022).

    Patches, row by row, in chunks; the fast stream attends within a chunk and, after each r-th
    layer, to the state, which then attends to the fast stream's output. Positions are those within
    a chunk, shared by all chunks, or by option those in the image. The first state is learned, and
    the class is read off the mean of the last one behind a norm. `chunk_size` must divide the
    number of patches, and `heads` the dimensions.

    Images of any size are resized (bilinear): to 48×48 in evaluation, in training to 52×52, of
    which 48×48 are cropped at random and mirrored, except for digits. AdamW and sizes as in the
    Keras example; 356,746 parameters at three channels. Presets standardise each image of
    svhn and cifar10 (ours).
    """

    Config = TLBConfig
    config: TLBConfig

    def __init__(self, *, shape: ImageShape, config: TLBConfig) -> None:
        super().__init__(
            shape=shape,
            config=config,
            schedule=paper_schedule(config.layers, config.r),
            head_dim=head_width(config.dim, config.heads),
        )
        chunks = self.chunks if config.positions == "image" else 1
        self.positions = nn.Parameter(torch.empty(chunks, config.chunk_size, config.dim))
        self.state = nn.Parameter(torch.empty(config.state_length, config.dim))
        self.state_norm = nn.LayerNorm(config.dim, eps=EPSILON)
        initialise(self)

    def initial_state(self, batch: int) -> Tensor:
        return self.state.expand(batch, -1, -1)

    def scores(self, image: Tensor) -> Tensor:
        return self.head(self.state_norm(self.read(image).state).mean(1))


@register("tlb-keras", task="classification")
class KerasTLB(BottleneckClassifier):
    """The Temporal Latent Bottleneck of a known Keras example, odd as it is.

    There are layers + ⌈layers/r⌉ blocks. Each attends to its chunk, and those at 0, r, 2r … of this
    list then attend to the state too, by weights of their own, with the block's one feed-forward
    behind both. The state is as long as a chunk and zero at first; positions are those in the
    image; the class is read off the mean of the **last chunk's** fast stream. Heads do not share
    the dimensions: each has them all. Attention's dropout is on the scores.

    Images are resized and cropped as for `tlb`. Weights begin as Keras has them: Glorot's uniform,
    but in the query's, key's and value's projection, stored as (dim, heads, head_dim), the first
    axis counts as positions of a convolution, which makes them nearly six times smaller. 415,882
    parameters at three channels. Pixels are raw, as in the example; only svhn, which the example
    does not have, is standardised by preset.
    """

    # The example reads CIFAR-10 without standardising it.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        dataset: preset for dataset, preset in TLB.presets.items() if dataset != "cifar10"
    }
    published_budgets: ClassVar = {
        "cifar10": SourceBudget(
            "the Keras example: accuracy on the images held out, batches of 2048",
            train_samples=40_000,
            epochs=30,
            validation_samples=10_000,
        )
    }

    def __init__(self, *, shape: ImageShape, config: BottleneckConfig) -> None:
        super().__init__(
            shape=shape,
            config=config,
            schedule=keras_schedule(config.layers, config.r),
            head_dim=config.dim,
        )
        self.positions = nn.Parameter(torch.empty(self.chunks, config.chunk_size, config.dim))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _glorot_uniform_(module, module.in_features + module.out_features)
                nn.init.zeros_(module.bias)
        # The bounds of tf.keras.layers.Embedding, and of Glorot's uniform weights for the shapes
        # (p, p, channels, dim), (dim, heads, head_dim) and (heads, head_dim, dim).
        nn.init.uniform_(self.positions, -0.05, 0.05)
        dim, heads = config.dim, config.heads
        pixels = self.tokens.projection.in_features
        _glorot_uniform_(self.tokens.projection, pixels + config.patch_size**2 * dim)
        for module in self.modules():
            if isinstance(module, Attention):
                for projection in (module.query, module.key, module.value):
                    _glorot_uniform_(projection, dim * heads + dim * dim)
                _glorot_uniform_(module.output, 2 * heads * dim)

    def initial_state(self, batch: int) -> Tensor:
        zeros = self.positions.new_zeros(())
        return zeros.expand(batch, self.config.chunk_size, self.config.dim)

    def scores(self, image: Tensor) -> Tensor:
        return self.head(self.read(image).fast.mean(1))


def _glorot_uniform_(linear: nn.Linear, fans: int) -> None:
    bound = math.sqrt(6 / fans)
    nn.init.uniform_(linear.weight, -bound, bound)


class TLBFramesConfig(BrightnessConfig, ScheduleConfig):
    """Sizes of both streams and recipe: ours."""

    batch_size: int = Field(16, ge=1, description="sequences in a training step")
    patch_size: int = Field(8, ge=1, description="side of a patch, which is a token")
    dim: int = Field(128, ge=1, description="dimensions of a token")
    heads: int = Field(1, ge=1, description="heads of attention")
    layers: int = Field(4, ge=1, description="layers of self-attention")
    r: int = Field(2, ge=1, description="layers of self-attention for each look at the state")
    state_length: int = Field(64, ge=1, description="vectors in the state")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of attention and feed-forward")
    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-4, ge=0, description="decoupled weight decay of AdamW")


@register("tlb-frames", task="prediction")
class TLBFrames(Variant):
    """Temporal Latent Bottleneck over a sequence of frames: `tlb` with a frame for a chunk.

    The patches of a frame are the tokens of one chunk, and the state is carried from frame to
    frame. The next frame's patches are read off the fast stream (norm, linear, sigmoid). Beyond the
    past the model is fed its own predictions, in training too, so that it learns what it is asked
    for; the loss is over every frame but the first. `patch_size` must divide a frame's sides;
    nothing is resized. No paper has it: task and recipe are ours.
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
        # With Glorot's weights logits have a deviation of 1, and frames are not of this brightness.
        nn.init.normal_(self.head.weight, std=0.02)
        set_initial_brightness(self.head, config.initial_brightness, activation="sigmoid")

    def frames(self, past: Tensor) -> Tensor:
        """The frame after each past and each future one but the last, as predicted.

        past: (batch, past, channels, height, width) to (batch, past + future - 1, channels, ...).
        """
        bottleneck = self.bottleneck.fold()

        def chunks(frames: Tensor) -> Tensor:
            """(batch, frames, channels, height, width) to (batch, frames, tokens, dim)."""
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
        """(batch, tokens, dim) to (batch, channels, height, width) in [0, 1]."""
        pixels = at_least_float32(self.head(self.head_norm(fast))).sigmoid()
        folded = pixels.unflatten(1, (self.rows, -1)).permute(0, 3, 1, 2)
        return unfold(folded, self.config.patch_size)

    def forward(self, past: Tensor) -> Tensor:
        """past: (batch, past, channels, height, width) to (batch, future, channels, ...)."""
        return self.frames(past)[:, -self.shape.future :]

    def loss(self, batch: Clips) -> tuple[dict[str, Tensor], Tensor]:
        """`mse`: squared error, mean over pixels, sequences and all frames but the first."""
        predicted = self.frames(batch.past)
        truth = torch.cat([batch.past[:, 1:], batch.future], 1)
        return {"mse": F.mse_loss(predicted, truth)}, predicted[:, -self.shape.future :]

    def optimization(self) -> Optimization:
        config = self.config
        optimizer = adamw(self, lr=config.lr, weight_decay=config.weight_decay)
        return Optimization(optimizer, config.scheduler(optimizer))
