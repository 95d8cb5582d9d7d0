"""Implements the Temporal Latent Bottleneck over frames, one frame after another."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.textbook.tlb import cross_attention, patches, perceive


class TLBFrames(nn.Module):
    """Predicts frames with the parameters of our variant."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.ours = copy.deepcopy(model)

    def frames(self, past: Tensor) -> Tensor:
        """Predicts all frames after the first past frame."""
        ours = self.ours
        patch, shape = ours.config.patch_size, ours.shape
        state = torch.stack([ours.state] * len(past))
        predicted: list[Tensor] = []
        for t in range(shape.past + shape.future - 1):
            frame = past[:, t] if t < shape.past else predicted[-1]
            tokens = ours.norm(patches(ours.tokens.projection, frame, patch) + ours.positions)
            fast = perceive(ours, tokens, state)
            state = cross_attention(ours.bottleneck.slow, state, fast)
            pixels = torch.sigmoid(ours.head(ours.head_norm(fast))).transpose(1, 2)
            predicted.append(F.fold(pixels, (shape.height, shape.width), patch, stride=patch))
        return torch.stack(predicted, 1)

    def forward(self, past: Tensor) -> Tensor:
        """Predicts the future frames."""
        return self.frames(past)[:, self.ours.shape.past - 1 :]

    def loss(self, batch: Any) -> Tensor:
        """Computes the mean squared error over all frames but the first past frame."""
        truth = torch.cat([batch.past, batch.future], 1)[:, 1:]
        return ((self.frames(batch.past) - truth) ** 2).mean()


textbook = TLBFrames
