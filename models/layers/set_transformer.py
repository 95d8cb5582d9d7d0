"""Implements the Set Transformer (Lee et al. 2019, arXiv 1810.00825) for sets with absent members.

Each member has a presence from 0 to 1, which multiplies its weight in each softmax before the
weights are normalised. A member with presence 0 has no influence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.initialisation import initialise_as_sonnet
from models.layers.numerics import at_least_float32
from models.layers.prenorm import head_width


def log_presence(presence: Tensor) -> Tensor:
    """Computes the logarithm of presences, to be added to attention logits.

    The result is finite: if all members of a set are absent, attention reads all of them.

    Args:
        presence: (batch, n) in [0, 1].

    Returns:
        (batch, n).
    """
    return presence.clamp_min(torch.finfo(presence.dtype).tiny).log()


class SelfAttention(nn.Module):
    """Computes multi-head self-attention of a set (section 2.1)."""

    def __init__(self, *, dims: int, heads: int) -> None:
        super().__init__()
        head_width(dims, heads)
        self.heads = heads
        self.query_key_value = nn.Linear(dims, 3 * dims)
        self.out = nn.Linear(dims, dims)

    def forward(self, x: Tensor, presence_bias: Tensor | None) -> Tensor:
        """Computes the attention, without residual.

        Args:
            x: (batch, n, dims).
            presence_bias: (batch, n), added to the logits of each member; None if all are present.

        Returns:
            (batch, n, dims).
        """
        batch, n, dims = x.shape
        parts = self.query_key_value(x).view(batch, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.flatten(1, 2)
        logits = query @ key.transpose(1, 2)
        weights = _attention_weights(
            logits.unflatten(0, (batch, -1)), self.heads / dims, presence_bias
        )
        mixed = (weights.flatten(0, 1).to(value.dtype) @ value).unflatten(0, (batch, -1))
        return self.out(mixed.transpose(1, 2).flatten(2))


class Pool(nn.Module):
    """Pools a set by attention from learned seeds.

    It computes out(attention(seeds, z, z)) with z = widen(x), without residual, as in the authors'
    code of stacked capsules. The seeds are the same for all sets, and only the softmax between x
    and the output is nonlinear. Therefore the key matrices are multiplied into the seeds, and the
    value matrices are multiplied into one matrix that is applied to the pooled x. No member is
    widened to `out` dimensions.
    """

    def __init__(self, *, dims: int, out: int, seeds: int, heads: int) -> None:
        super().__init__()
        head_width(out, heads)
        self.heads = heads
        self.seeds = nn.Parameter(torch.empty(seeds, out))
        self.widen = nn.Linear(dims, out)
        self.query = nn.Linear(out, out)
        # No bias: a bias would add the same to all logits of a seed, which the softmax cancels.
        self.key = nn.Linear(out, out, bias=False)
        self.value = nn.Linear(out, out)
        self.out = nn.Linear(out, out)
        nn.init.xavier_uniform_(self.seeds)

    def forward(self, x: Tensor, presence_bias: Tensor | None) -> Tensor:
        """Pools the set.

        Args:
            x: (batch, n, dims).
            presence_bias: (batch, n), added to the logits of each member; None if all are present.

        Returns:
            (batch, seeds, out).
        """
        heads, out = self.heads, len(self.widen.weight)
        query = self.query(self.seeds).unflatten(1, (heads, -1)).transpose(0, 1)
        key = (self.key.weight @ self.widen.weight).unflatten(0, (heads, -1))
        probes = (query @ key).flatten(0, 1)
        logits = (x @ probes.t()).transpose(1, 2).unflatten(1, (heads, -1))
        weights = _attention_weights(logits, heads / out, presence_bias).flatten(1, 2)
        pooled = (weights.to(x.dtype) @ x).unflatten(1, (heads, -1)).transpose(1, 2).flatten(2)

        value = (self.value.weight @ self.widen.weight).unflatten(0, (heads, -1))
        mix = self.out.weight.unflatten(1, (heads, -1)).transpose(0, 1)
        matrix = (mix @ value).transpose(1, 2).flatten(0, 1)
        return pooled @ matrix + self.out(self.value(self.widen.bias))


class Block(nn.Module):
    """Computes the set attention block of section 3.1.

    SAB(X) = LN(H + rFF(H)) with H = LN(X + attention(X)). rFF has one hidden layer of twice the
    dimensions, as in the authors' code of stacked capsules.
    """

    def __init__(self, *, dims: int, heads: int, layer_norm: bool) -> None:
        super().__init__()
        self.attention = SelfAttention(dims=dims, heads=heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(dims, 2 * dims), nn.ReLU(), nn.Linear(2 * dims, dims)
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(dims) if layer_norm else nn.Identity() for _ in range(2)
        )

    def forward(self, x: Tensor, presence_bias: Tensor | None) -> Tensor:
        """Computes the block.

        Args:
            x: (batch, n, dims).
            presence_bias: (batch, n), added to the logits of each member; None if all are present.

        Returns:
            (batch, n, dims).
        """
        h = self.norms[0](x + self.attention(x, presence_bias))
        return self.norms[1](h + self.feed_forward(h))


class SetTransformer(nn.Module):
    """Applies set attention blocks to a set, and pools the set by attention from seeds.

    The output does not depend on the order of the members.
    """

    def __init__(
        self, *, layers: int, heads: int, dims: int, seeds: int, out: int, layer_norm: bool = True
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(dims=dims, heads=heads, layer_norm=layer_norm) for _ in range(layers)
        )
        self.pool = Pool(dims=dims, out=out, seeds=seeds, heads=heads)
        initialise_as_sonnet(self)

    def forward(self, x: Tensor, presence: Tensor | None = None) -> Tensor:
        """Encodes the set.

        Args:
            x: (batch, n, dims).
            presence: (batch, n) in [0, 1]; None if all members are present.

        Returns:
            (batch, seeds, out).
        """
        presence_bias = None if presence is None else log_presence(presence)
        for block in self.blocks:
            x = block(x, presence_bias)
        return self.pool(x, presence_bias)


def _attention_weights(
    logits: Tensor, squared_scale: float, presence_bias: Tensor | None
) -> Tensor:
    """Computes the softmax over members of √squared_scale · logits (batch, heads, queries, n)."""
    logits = at_least_float32(logits) * squared_scale**0.5
    return (logits if presence_bias is None else logits + presence_bias[:, None, None]).softmax(-1)
