"""Implements pre-norm attention and feed-forward layers for models that apply them to many chunks.

What depends on weights alone is computed once per training step, when a layer is folded, instead of
once per chunk:

- The gains and offsets of a norm are multiplied into the projection after it. The norms of queries,
  keys and values of one sequence are then the same norm, without gain or offset.
- A score is q·k = (W_q x)·(W_k y) = (W_kᵀ W_q x)·y: the key projection is multiplied into the query
  projection. A key's offset adds the same number to the scores of all keys, which the softmax
  cancels. Likewise W_o (a W_v y) = a (W_o W_v y): the output projection is multiplied into the
  value projection. Two of four matrix products per token remain; each head then reads all
  dimensions.
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
    """Normalises the last dimension to mean 0 and variance 1: layer norm without gain and offset.

    Args:
        x: (..., dim).

    Returns:
        (..., dim).
    """
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON)


class Projection(NamedTuple):
    """Applies a linear map with a weight (outputs, inputs) and a bias (outputs,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Applies the linear map.

        Args:
            x: (..., inputs).

        Returns:
            (..., outputs).
        """
        return F.linear(x, self.weight, self.bias)


def fold_norm(norm: nn.LayerNorm, linear: nn.Linear) -> Projection:
    """Folds the gain and the offset of a layer norm into the linear layer after it.

    Args:
        norm: the layer norm.
        linear: the linear layer.

    Returns:
        A projection of normalised input.
    """
    return Projection(linear.weight * norm.weight, linear.weight @ norm.bias + linear.bias)


class FoldedAttention:
    """Applies attention with weights that `Attention.fold` has folded."""

    def __init__(
        self, query: Projection, value: Projection, bias: Tensor, *, heads: int, dropout: float
    ) -> None:
        self.query, self.value, self.bias = query, value, bias
        self.both = Projection(*(torch.cat(parts) for parts in zip(query, value, strict=True)))
        self.heads, self.dropout = heads, dropout

    def self_attention(self, x: Tensor) -> Tensor:
        """Computes pre-norm self-attention with its residual.

        Args:
            x: (batch, tokens, dim).

        Returns:
            (batch, tokens, dim).
        """
        keys = normalise(x)
        queries, values = self.both(keys).chunk(2, dim=-1)
        return self._read(x, queries, keys, values)[0]

    def cross_attention(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Computes pre-norm cross-attention from x to y with its residual.

        Args:
            x: (batch, tokens, dim), the queries' sequence.
            y: (batch, others, dim), the keys' and values' sequence.

        Returns:
            (batch, tokens, dim). Then the softmax weights (batch, heads, tokens, others), which sum
            to 1 over the others.
        """
        keys = normalise(y)
        return self._read(x, self.query(normalise(x)), keys, self.value(keys))

    def _read(
        self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Computes attention with its residual, and its softmax weights, from q, k and v."""
        # All heads read the same keys: heads are additional queries. Their values differ.
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
    """Holds the weights of pre-norm attention.

    It computes x + W_o (dropout(softmax(q kᵀ / √head_dim)) v), where q, k and v are linear in
    separate norms of their input.
    """

    def __init__(self, dim: int, *, heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.query_norm, self.key_norm, self.value_norm = (
            nn.LayerNorm(dim, eps=EPSILON) for _ in range(3)
        )
        self.query, self.key, self.value = (nn.Linear(dim, heads * head_dim) for _ in range(3))
        self.output = nn.Linear(heads * head_dim, dim)
        self.heads, self.head_dim, self.dropout = heads, head_dim, dropout

    def fold(self) -> FoldedAttention:
        """Folds norms and projections, for one training step.

        Returns:
            The attention with folded weights.
        """

        def split(projection: Projection) -> tuple[Tensor, Tensor]:
            """Splits by heads: weight (heads, head_dim, dim) and bias (heads, head_dim, 1)."""
            weight, bias = (part.unflatten(0, (self.heads, self.head_dim)) for part in projection)
            return weight, bias.unsqueeze(-1)

        query, query_bias = split(fold_norm(self.query_norm, self.query))
        value, value_bias = split(fold_norm(self.value_norm, self.value))
        key, key_bias = split(fold_norm(self.key_norm, self.key))
        key = key.transpose(1, 2) / math.sqrt(self.head_dim)
        output = rearrange(self.output.weight, "o (h d) -> h o d", h=self.heads)
        # The keys' biases change no score. They are added times 0 so that their gradient is 0.
        query_bias = query_bias + 0 * key_bias
        return FoldedAttention(
            Projection((key @ query).flatten(0, 1), (key @ query_bias).flatten()),
            Projection((output @ value).flatten(0, 1), (output @ value_bias).flatten()),
            self.output.bias,
            heads=self.heads,
            dropout=self.dropout if self.training else 0.0,
        )


class FoldedFeedForward:
    """Applies a feed-forward layer with weights that `FeedForward.fold` has folded."""

    def __init__(self, inner: Projection, outer: Projection, *, dropout: float) -> None:
        self.inner, self.outer, self.dropout = inner, outer, dropout

    def __call__(self, x: Tensor) -> Tensor:
        """Computes the pre-norm feed-forward layer with its residual.

        Args:
            x: (..., dim).

        Returns:
            (..., dim).
        """
        return x + dropout(self.outer(F.gelu(self.inner(normalise(x)))), self.dropout)


class FeedForward(nn.Module):
    """Holds the weights of x + dropout(W_2 GELU(W_1 norm(x))), with 4·dim hidden units."""

    def __init__(self, dim: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.inner = nn.Linear(dim, 4 * dim)
        self.outer = nn.Linear(4 * dim, dim)
        self.dropout = dropout

    def fold(self) -> FoldedFeedForward:
        """Folds the norm, for one training step.

        Returns:
            The layer with folded weights.
        """
        return FoldedFeedForward(
            fold_norm(self.norm, self.inner),
            Projection(self.outer.weight, self.outer.bias),
            dropout=self.dropout if self.training else 0.0,
        )


def head_width(dim: int, heads: int) -> int:
    """Computes the dimensions per head, where heads share the dimensions.

    Args:
        dim: dimensions of a token.
        heads: number of heads.

    Returns:
        dim / heads.

    Raises:
        ValueError: if `heads` does not divide `dim`.
    """
    if dim % heads:
        raise ValueError(
            f"{heads} heads cannot share {dim} dimensions: take a divisor of {dim} as heads"
        )
    return dim // heads


def initialise(model: nn.Module) -> None:
    """Initialises linear layers with Glorot's uniform weights and zero biases; draws embeddings.

    Embeddings are the parameters that the model itself holds; they are drawn with deviation 0.3. At
    this size a position has as much weight as the pixels of its patch. With the usual 0.02, the
    model ignores the positions of patches for the first hundreds of steps.

    Args:
        model: the model; its weights, biases and embeddings are overwritten.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for embedding in model.parameters(recurse=False):
        nn.init.normal_(embedding, std=0.3)
