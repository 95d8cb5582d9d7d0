"""Implements the Vision Transformer with explicit attention, head by head."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.textbook.tlb import TLB, normalised, patches


class ViT(TLB):
    """Classifies images with the parameters of our variant."""

    def scores(self, image: Tensor) -> Tensor:
        """Computes the logits (batch, classes) of images."""
        ours, config = self.ours, self.ours.config
        seen = normalised(ours, image)
        tokens = patches(ours.tokens.projection, seen, config.patch_size) + ours.positions
        x = ours.dropout(tokens)
        for block in ours.blocks:
            q, k, v = block.qkv(block.attention_norm(x)).chunk(3, -1)
            width = config.dim // config.heads
            read = []
            for head in range(config.heads):
                own = slice(head * width, (head + 1) * width)
                logits = torch.einsum("bnd,bmd->bnm", q[..., own], k[..., own]) / math.sqrt(width)
                read.append(torch.einsum("bnm,bmd->bnd", logits.softmax(-1), v[..., own]))
            x = x + block.output(torch.cat(read, -1))
            x = x + block.feed_forward(x)
        return ours.head(ours.norm(x).mean(1))


textbook = ViT
