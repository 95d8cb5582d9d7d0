"""Implements the Temporal Latent Bottleneck of a Keras example, which departs from the paper."""

from __future__ import annotations

import torch
from torch import Tensor

from models.textbook.tlb import TLB, cross_attention, normalised, patches, self_attention


class KerasTLB(TLB):
    """Overrides the paper's order of blocks, first state and output."""

    def scores(self, image: Tensor) -> Tensor:
        """Computes the logits (batch, classes) of images."""
        ours, config = self.ours, self.ours.config
        tokens = patches(ours.tokens.projection, normalised(ours, image), config.patch_size)
        tokens = ours.norm(tokens + ours.positions.flatten(0, 1))
        state = torch.zeros(len(image), config.chunk_size, config.dim, dtype=tokens.dtype)
        for fast in tokens.split(config.chunk_size, dim=1):
            for index, block in enumerate(ours.bottleneck.fast):
                fast = self_attention(block, fast)
                if index % config.r == 0:
                    fast = cross_attention(block, fast, state)
            state = cross_attention(ours.bottleneck.slow, state, fast)
        return ours.head(fast.mean(1))


textbook = KerasTLB
