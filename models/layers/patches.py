"""Folding square patches of pixels into channels, and back."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor


def fold(frames: Tensor, patch: int) -> Tensor:
    """(..., C, H, W) to (..., C·patch², H/patch, W/patch)."""
    return rearrange(frames, "... c (h p) (w q) -> ... (c p q) h w", p=patch, q=patch)


def unfold(folded: Tensor, patch: int) -> Tensor:
    """The inverse of `fold`."""
    return rearrange(folded, "... (c p q) h w -> ... c (h p) (w q)", p=patch, q=patch)
