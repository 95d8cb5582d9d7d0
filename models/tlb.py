"""Implements the Temporal Latent Bottleneck: it reads a sequence in chunks and carries a state.

Didolkar et al.: Temporal Latent Bottleneck: Synthesis of Fast and Slow Processing Mechanisms in
Sequence Learning, NeurIPS 2022 (arXiv 2205.14794).

The textbook version is models/textbook/tlb.py.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from models.layers.numerics import without_autocast
from models.layers.patch_classifier import PatchClassifier, PatchConfig
from models.layers.prenorm import (
    EPSILON,
    Attention,
    FeedForward,
    FoldedAttention,
    FoldedFeedForward,
    head_width,
    initialise,
)
from models.registry import register
from models.variant import Heat, Images, ImageShape, Picture


class AttentionTargets(NamedTuple):
    """Says what a block of the fast stream attends to: its chunk, the state, or both in turn."""

    itself: bool
    """Whether the block attends to its chunk."""
    state: bool
    """Whether the block attends to the state."""


def paper_schedule(layers: int, r: int) -> list[AttentionTargets]:
    """Lists the blocks of the paper's fast stream.

    There are `layers` blocks of self-attention. After each r-th of these, an additional block
    attends to the state.

    Args:
        layers: blocks of self-attention.
        r: blocks of self-attention per block that attends to the state.

    Returns:
        What each block attends to, in order.
    """
    blocks = []
    for layer in range(1, layers + 1):
        blocks.append(AttentionTargets(itself=True, state=False))
        if layer % r == 0:
            blocks.append(AttentionTargets(itself=False, state=True))
    return blocks


class Block(nn.Module):
    """Holds one or two attentions, each followed by the same feed-forward layer."""

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
        """Folds norms and projections, for one training step.

        Returns:
            One layer per attention: first self-attention, then attention to the state.
        """
        feed_forward = self.feed_forward.fold()
        attentions = ((self.to_itself, False), (self.to_state, True))
        return [
            Layer(attention.fold(), feed_forward, to_state)
            for attention, to_state in attentions
            if attention is not None
        ]


class Layer(NamedTuple):
    """Holds one folded attention of a block, and the feed-forward layer after it."""

    attention: FoldedAttention
    feed_forward: FoldedFeedForward
    to_state: bool
    """Whether the attention is to the state."""


class Bottleneck(nn.Module):
    """Holds the blocks of the fast stream, and the single block of the slow stream.

    The slow block's queries are the state's.
    """

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
        """Folds the weights of all blocks, for one training step.

        Returns:
            Both streams with folded weights.
        """
        with without_autocast(next(self.parameters()).device):
            layers = [layer for block in self.fast for layer in cast(Block, block).fold()]
            return FoldedBottleneck(layers, *self.slow.fold())


class FoldedBottleneck:
    """Applies both streams with weights that `Bottleneck.fold` has folded."""

    def __init__(self, fast: list[Layer], slow: Layer) -> None:
        first = next((i for i, layer in enumerate(fast) if layer.to_state), len(fast))
        self.local, self.conditioned, self.slow = fast[:first], fast[first:], slow

    def apply_local_layers(self, chunks: Tensor) -> Tensor:
        """Applies the layers before the first that attends to the state, to many chunks at once.

        Args:
            chunks: (..., tokens, dim).

        Returns:
            (..., tokens, dim).
        """
        x = chunks.flatten(0, -3)
        for layer in self.local:
            x = layer.feed_forward(layer.attention.self_attention(x))
        return x.view_as(chunks)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Applies the remaining layers to the next chunk, and updates the state.

        Args:
            x: (batch, tokens, dim), from `apply_local_layers`.
            state: (batch, length, dim).

        Returns:
            The chunk (batch, tokens, dim), the new state (batch, length, dim), and the softmax
            weights of the state's attention (batch, heads, length, tokens).
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
    """Holds the output of a bottleneck that has read a sequence."""

    fast: Tensor
    """(batch, tokens, dim): the last chunk."""
    state: Tensor
    """(batch, length, dim): the last state."""
    scores: list[Tensor]
    """Per chunk: (batch, heads, length, tokens), the state's softmax weights."""


class BottleneckConfig(PatchConfig):
    """Holds the sizes of both streams; defaults of the Keras example."""

    chunk_size: int = Field(8, ge=1, description="tokens in a chunk")
    layers: int = Field(4, ge=1, description="layers of self-attention")
    r: int = Field(2, ge=1, description="layers of self-attention per attention to the state")


class TLBConfig(BottleneckConfig):
    """Adds the state's length, and the kind of positions."""

    positions: Literal["chunk", "image"] = Field(
        "chunk", description="whether positions count within the chunk or within the image"
    )
    state_length: int = Field(8, ge=1, description="vectors in the state")


class BottleneckClassifier(PatchClassifier):
    """Is the base class of classifiers that read an image's patches, row by row in chunks."""

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
                f"{self.side}×{self.side} patches cannot be cut into chunks of "
                f"{config.chunk_size}: take a chunk_size that divides the number of patches"
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
        """Returns the state before the first chunk.

        Args:
            batch: number of images.

        Returns:
            (batch, length, dim).
        """
        raise NotImplementedError

    def read(self, image: Tensor) -> SequenceOutput:
        """Reads the patches of images.

        Args:
            image: (batch, channels, image_size, image_size).

        Returns:
            The last chunk, the last state, and the state's attention to each chunk.
        """
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
        """Draws images above the state's attention to their patches.

        Args:
            batch: images; labels are not read.

        Returns:
            Pictures by name.
        """
        image = self.evaluation_view(batch.x)
        # Largest weight over the state's vectors, so that a token read by one of them is visible;
        # then the mean over heads.
        heat = torch.cat([s.amax(2).mean(1) for s in self.read(image).scores], dim=1)
        heats = heat.unflatten(1, (self.side, self.side))
        return {
            "attention": [list(image), [Heat(*pair) for pair in zip(image, heats, strict=True)]]
        }


@register("tlb", task="classification")
class TLB(BottleneckClassifier):
    """Classifies images by a Temporal Latent Bottleneck over their patches (Didolkar et al. 2022).

    Patches are read row by row, in chunks. The fast stream is the Transformer that reads a chunk:
    its tokens attend to each other and, after each r-th layer, to the state. The state (slow
    stream) then attends to the output of the fast stream. Positions count within a chunk and are
    shared by all chunks, or, with `positions="image"`, within the image. The first state is
    learned. The class is computed from the mean of the last state after a norm. `chunk_size` must
    divide the number of patches, and `heads` must divide `dim`.

    Images of any size are resized (bilinear): to 48×48 in evaluation, and in training to 52×52,
    from which 48×48 are cropped at random. Training images, except for digits, are mirrored at
    random. AdamW and sizes are those of the Keras example; 356,746 parameters for images with three
    channels. Presets standardise each image of svhn and cifar10 (our choice).
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
