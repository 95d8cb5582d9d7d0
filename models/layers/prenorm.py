"""Pre-norm attention and feed-forward layers for models that apply them to many chunks.

What depends on weights alone is done once a step, when a layer is folded, not once a chunk:

- The gains and offsets of a norm go into the projection behind it. The query's, key's and value's
  norm of one sequence then are one, without gain or offset.
- A score is q·k = (W_q x)·(W_k y) = (W_kᵀ W_q x)·y: the key's projection goes into the query's,
  and what a key's offset adds is the same for all keys, so the softmax takes it away. Likewise
  W_o (a W_v y) = a (W_o W_v y): the output's projection goes into the value's. Of four matrix
  products a token two are left, of as many heads as share the dimensions one by one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from models.layers.dropout import dropout
from models.layers.numerics import at_least_float32

EPSILON = 1e-5


def normalise(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last dimension: a layer norm without gain and offset."""
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON)


class Projection(NamedTuple):
    """A matrix (outputs, inputs) and a bias (outputs,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def fold_norm(norm: nn.LayerNorm, linear: nn.Linear) -> Projection:
    """`linear` behind `norm`, as a projection of a standardised input."""
    return Projection(linear.weight * norm.weight, linear.weight @ norm.bias + linear.bias)


class FoldedAttention:
    """What attention does to tokens, after `Attention.fold`."""

    def __init__(
        self, query: Projection, value: Projection, bias: Tensor, *, heads: int, dropout: float
    ) -> None:
        self.query, self.value, self.bias = query, value, bias
        self.both = Projection(*(torch.cat(parts) for parts in zip(query, value, strict=True)))
        self.heads, self.dropout = heads, dropout

    def self_attention(self, x: Tensor) -> Tensor:
        """x: (batch, tokens, dim), with what each token read of all."""
        keys = normalise(x)
        queries, values = self.both(keys).chunk(2, dim=-1)
        return self._read(x, queries, keys, values)[0]

    def cross_attention(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """x: (batch, tokens, dim), with what each token read of y: (batch, others, dim).

        With it the scores, (batch, heads, tokens, others), which sum to 1 over the others.
        """
        keys = normalise(y)
        return self._read(x, self.query(normalise(x)), keys, self.value(keys))

    def _read(
        self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        # Heads are further queries of the same keys, and then further values.
        batch, tokens, _ = queries.shape
        queries = queries.reshape(batch, tokens * self.heads, -1)
        logits = torch.bmm(queries, keys.to(queries.dtype).transpose(1, 2))
        scores = at_least_float32(logits).softmax(dim=-1)
        dropped = dropout(scores, self.dropout).view(batch, tokens, -1).to(values.dtype)
        if self.heads > 1:
            values = rearrange(values, "b m (h d) -> b (h m) d", h=self.heads)
        read = x + torch.bmm(dropped, values) + self.bias
        return read, scores.view(batch, tokens, self.heads, -1).transpose(1, 2)


class Attention(nn.Module):
    """x + W_o dropout(softmax(q kᵀ / √head_dim)) v, with norms of their own for q, k and v."""

    def __init__(self, dim: int, *, heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.query_norm, self.key_norm, self.value_norm = (
            nn.LayerNorm(dim, eps=EPSILON) for _ in range(3)
        )
        self.query, self.key, self.value = (nn.Linear(dim, heads * head_dim) for _ in range(3))
        self.output = nn.Linear(heads * head_dim, dim)
        self.heads, self.head_dim, self.dropout = heads, head_dim, dropout

    def fold(self) -> FoldedAttention:
        def split(projection: Projection) -> tuple[Tensor, Tensor]:
            """(heads, head_dim, dim) and (heads, head_dim, 1)."""
            weight, bias = (part.unflatten(0, (self.heads, self.head_dim)) for part in projection)
            return weight, bias.unsqueeze(-1)

        query, query_bias = split(fold_norm(self.query_norm, self.query))
        value, value_bias = split(fold_norm(self.value_norm, self.value))
        key, key_bias = split(fold_norm(self.key_norm, self.key))
        key = key.transpose(1, 2) / math.sqrt(self.head_dim)
        output = rearrange(self.output.weight, "o (h d) -> h o d", h=self.heads)
        # The key's offsets change no score: they take part for a gradient of exactly zero.
        query_bias = query_bias + 0 * key_bias
        return FoldedAttention(
            Projection((key @ query).flatten(0, 1), (key @ query_bias).flatten()),
            Projection((output @ value).flatten(0, 1), (output @ value_bias).flatten()),
            self.output.bias,
            heads=self.heads,
            dropout=self.dropout if self.training else 0.0,
        )


class FoldedFeedForward:
    """What a feed-forward layer does to tokens, after `FeedForward.fold`."""

    def __init__(self, inner: Projection, outer: Projection, *, dropout: float) -> None:
        self.inner, self.outer, self.dropout = inner, outer, dropout

    def __call__(self, x: Tensor) -> Tensor:
        """x: (..., dim)."""
        return x + dropout(self.outer(F.gelu(self.inner(normalise(x)))), self.dropout)


class FeedForward(nn.Module):
    """x + dropout(W_2 GELU(W_1 norm(x))), four times as wide inside."""

    def __init__(self, dim: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.inner = nn.Linear(dim, 4 * dim)
        self.outer = nn.Linear(4 * dim, dim)
        self.dropout = dropout

    def fold(self) -> FoldedFeedForward:
        return FoldedFeedForward(
            fold_norm(self.norm, self.inner),
            Projection(self.outer.weight, self.outer.bias),
            dropout=self.dropout if self.training else 0.0,
        )


def head_width(dim: int, heads: int) -> int:
    """Of heads that share the dimensions. Raises ValueError where they cannot."""
    if dim % heads:
        raise ValueError(
            f"{heads} heads cannot share {dim} dimensions: take a divisor of {dim} as heads"
        )
    return dim // heads


def initialise(model: nn.Module) -> None:
    """Glorot's uniform weights, zero biases; embeddings held by the model of deviation 0.3.

    So large, a place weighs as much as the pixels there: with the customary 0.02 an image is a bag
    of patches for the first hundreds of steps.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for embedding in model.parameters(recurse=False):
        nn.init.normal_(embedding, std=0.3)
