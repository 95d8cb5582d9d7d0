"""Implements a transformer block over frames, which reduces a sequence to one frame of tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.numerics import at_least_float32


class TemporalTransformer(nn.Module):
    """Applies one post-norm block of self-attention over frames, and averages the frames.

    Each token attends to the tokens of the same place in all frames; with `places`, to all tokens
    of all frames. Positions are added to the input, and the sum is normalised. The average is
    weighted by the softmax of learned scores over frames.
    """

    def __init__(
        self,
        *,
        frames: int,
        width: int,
        heads: int,
        head_dim: int,
        hidden: int,
        dropout: float,
        places: int | None = None,
    ) -> None:
        """Builds the layers.

        Args:
            frames: number of frames.
            width: dimensions of a token.
            heads: heads of the attention.
            head_dim: dimensions of a head.
            hidden: width of the feed-forward.
            dropout: dropout of attention and feed-forward.
            places: number of tokens per frame, if tokens attend to all tokens of all frames; each
                place has a learned vector, which is added to its tokens. None: tokens attend to
                the tokens of their own place.
        """
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.positions = nn.Parameter(0.02 * torch.randn(frames, 1, width))
        self.norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * inner)
        self.output = nn.Linear(inner, width)
        self.norm_attention = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)
        self.places = None if places is None else nn.Parameter(0.02 * torch.randn(places, width))

    def forward(self, x: Tensor) -> Tensor:
        """Computes one vector per token.

        Args:
            x: (batch, frames, tokens, width).

        Returns:
            (batch, tokens, width).
        """
        positions = self.positions if self.places is None else self.positions + self.places
        x = self.norm(x + positions)
        x = self.norm_attention(x + self.dropout(self.output(self.attention(x))))
        x = self.norm_feed_forward(x + self.dropout(self.narrow(F.gelu(self.widen(x)))))
        weights = at_least_float32(self.score(x)).softmax(dim=1)
        return torch.einsum("bftw,bft->btw", x, weights.squeeze(3))

    def attention(self, x: Tensor) -> Tensor:
        """Computes self-attention over frames or over all tokens, without residual.

        Args:
            x: (batch, frames, tokens, width).

        Returns:
            (batch, frames, tokens, heads·head_dim).
        """
        if self.places is not None:
            return self._over_frames(x.flatten(1, 2)[:, :, None]).view(*x.shape[:3], -1)
        return self._over_frames(x)

    def _over_frames(self, x: Tensor) -> Tensor:
        projected = self.queries_keys_values(x).unflatten(3, (3, self.heads, -1))
        q, k, v = projected.permute(3, 0, 2, 4, 1, 5).flatten(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v).unflatten(0, (len(x), -1))
        return mixed.permute(0, 3, 1, 2, 4).flatten(3)
