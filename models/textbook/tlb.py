"""Implements the Temporal Latent Bottleneck chunk by chunk and layer by layer, without folding.

The textbook versions hold a copy of our model (`ours`) for its linear layers and norms. Tests
compare gradients by the names of these layers.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attention(layer: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Computes pre-norm attention of x to y with its residual, and the softmax weights."""
    q = layer.query(layer.query_norm(x))
    k = layer.key(layer.key_norm(y))
    v = layer.value(layer.value_norm(y))
    q, k, v = (t.reshape(*t.shape[:2], layer.heads, layer.head_dim) for t in (q, k, v))
    scores = (torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(layer.head_dim)).softmax(-1)
    dropped = F.dropout(scores, layer.dropout, layer.training)
    read = torch.einsum("bhnm,bmhd->bnhd", dropped, v).flatten(2)
    return x + layer.output(read), scores


def feed_forward(layer: Any, x: Tensor) -> Tensor:
    """Computes the pre-norm feed-forward layer with its residual."""
    y = layer.outer(F.gelu(layer.inner(layer.norm(x))))
    return x + F.dropout(y, layer.dropout, layer.training)


def patches(projection: nn.Linear, image: Tensor, patch: int) -> Tensor:
    """Embeds patches by a convolution: (batch, channels, height, width) to (batch, tokens, dim)."""
    kernel = projection.weight.unflatten(1, (-1, patch, patch))
    return F.conv2d(image, kernel, projection.bias, stride=patch).flatten(2).transpose(1, 2)


def normalised(model: Any, image: Tensor) -> Tensor:
    """Standardises images if the model does; 0.02 is added to the deviation."""
    if not model.config.standardise:
        return image
    centred = image - image.mean((1, 2, 3), keepdim=True)
    deviation = (centred**2).mean((1, 2, 3), keepdim=True).sqrt()
    return centred / (deviation + 0.02)


def self_attention(block: Any, x: Tensor) -> Tensor:
    """Applies a block's self-attention and its feed-forward layer."""
    return feed_forward(block.feed_forward, attention(block.to_itself, x, x)[0])


def cross_attention(block: Any, x: Tensor, state: Tensor) -> Tensor:
    """Applies a block's attention to the state and its feed-forward layer."""
    return feed_forward(block.feed_forward, attention(block.to_state, x, state)[0])


def perceive(model: Any, x: Tensor, state: Tensor) -> Tensor:
    """Applies the paper's fast stream to a chunk.

    After each r-th layer of self-attention, a layer attends to the state.
    """
    blocks = iter(model.bottleneck.fast)
    for layer in range(model.config.layers):
        x = self_attention(next(blocks), x)
        if (layer + 1) % model.config.r == 0:
            x = cross_attention(next(blocks), x, state)
    assert next(blocks, None) is None
    return x


class TLB(nn.Module):
    """Implements the paper's classifier of an image's patches."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.ours = copy.deepcopy(model)

    def chunks(self, image: Tensor) -> list[Tensor]:
        """Cuts an image's tokens into chunks, adds positions and normalises."""
        ours, size = self.ours, self.ours.config.chunk_size
        tokens = patches(ours.tokens.projection, normalised(ours, image), ours.config.patch_size)
        positions = ours.positions.expand(ours.chunks, -1, -1)
        chunks = tokens.split(size, dim=1)
        return [ours.norm(chunk + own) for chunk, own in zip(chunks, positions, strict=True)]

    def scores(self, image: Tensor) -> Tensor:
        """Computes the logits (batch, classes) of images."""
        ours = self.ours
        state = torch.stack([ours.state] * len(image))
        for chunk in self.chunks(image):
            fast = perceive(ours, chunk, state)
            state = cross_attention(ours.bottleneck.slow, state, fast)
        return ours.head(ours.state_norm(state).mean(1))

    def loss(self, batch: Any) -> Tensor:
        """Computes the cross-entropy, averaged over images and labels, on our model's crops."""
        image = (
            self.ours.training_view(batch.x)
            if self.training
            else self.ours.evaluation_view(batch.x)
        )
        scores = self.scores(image)
        return torch.stack([F.cross_entropy(scores, y) for y in batch.y.unbind(1)]).mean()


textbook = TLB
