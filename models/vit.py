"""Implements the Vision Transformer, the baseline beside the Temporal Latent Bottleneck.

Dosovitskiy et al.: An Image Is Worth 16x16 Words, ICLR 2021 (arXiv 2010.11929).

The textbook version is models/textbook/vit.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from models.layers.patch_classifier import PatchClassifier, PatchConfig
from models.layers.prenorm import head_width, initialise
from models.registry import register
from models.variant import ImageShape


class ViTConfig(PatchConfig):
    """Holds the sizes and the recipe; the defaults match the size of `tlb`."""

    layers: int = Field(7, ge=1, description="Transformer blocks")


class Block(nn.Module):
    """Computes pre-norm self-attention and a pre-norm feed-forward layer, each with its residual.

    Dropout follows each linear layer except the projection to queries, keys and values. (Equations
    2 and 3.)
    """

    def __init__(self, dim: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        head_width(dim, heads)
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.output = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(dropout))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Computes the block's tokens.

        Args:
            x: (batch, tokens, dim).

        Returns:
            (batch, tokens, dim).
        """
        qkv = self.qkv(self.attention_norm(x))
        q, k, v = rearrange(qkv, "b n (s h d) -> s b h n d", s=3, h=self.heads)
        read = F.scaled_dot_product_attention(q, k, v)
        x = x + self.output(rearrange(read, "b h n d -> b n (h d)"))
        return x + self.feed_forward(x)


@register("vit", task="classification")
class ViT(PatchClassifier):
    """Classifies images by a Vision Transformer, with the size, the crops and the recipe of `tlb`.

    Each patch attends to all patches; there are no chunks and no state. Blocks are pre-norm,
    positions are learned, and the class is computed from the mean of the tokens (appendix D.3).
    There are seven blocks because `tlb` has seven as well: four that attend to a chunk, two that
    attend to the state, and the block of the state. Images are resized and cropped as for `tlb`;
    presets standardise svhn and cifar10.
    """

    Config = ViTConfig
    config: ViTConfig

    def __init__(self, *, shape: ImageShape, config: ViTConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.positions = nn.Parameter(torch.empty(self.side**2, config.dim))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.Sequential(
            *(
                Block(config.dim, heads=config.heads, dropout=config.dropout)
                for _ in range(config.layers)
            )
        )
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, shape.classes)
        initialise(self)

    def scores(self, image: Tensor) -> Tensor:
        tokens = self.blocks(self.dropout(self.embed(image) + self.positions))
        return self.head(self.norm(tokens).mean(1))
