"""Implements ConvLSTM sequence to sequence, step by step, with zeros as first states."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Cell(nn.Module):
    """Implements Shi et al. 2015, equation 3; `peephole` holds W_ci, W_cf and W_co."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        outputs, inputs = cell.gates.weight.shape[:2]
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, dtype=cell.gates.weight.dtype)
        self.conv.load_state_dict(cell.gates.state_dict())
        given = cell.peephole
        self.peephole = None if given is None else nn.Parameter(given.detach().clone())

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the next h and c, each (batch, hidden, height, width)."""
        i, f, o, g = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        w_ci, w_cf, w_co = (0, 0, 0) if self.peephole is None else self.peephole
        i = torch.sigmoid(i + w_ci * c)
        f = torch.sigmoid(f + w_cf * c)
        c = f * c + i * torch.tanh(g)
        o = torch.sigmoid(o + w_co * c)
        return o * torch.tanh(c), c


class ConvLSTM(nn.Module):
    """Predicts frames by two encoder cells, two decoder cells, a convolution and a sigmoid.

    With `all_at_once`, the convolution of the last encoder output gives all frames.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder_1, self.encoder_2 = (Cell(cell) for cell in model.encoder.cells)
        self.all_at_once = model.decoder is None
        if not self.all_at_once:
            self.decoder_1, self.decoder_2 = (Cell(cell) for cell in model.decoder.cells)
        self.hidden, self.future = model.config.hidden_channels, model.shape.future
        self.patch = model.config.patch_size
        weight, bias = model.head.weight.detach(), model.head.bias.detach()
        self.head = nn.Conv3d(self.hidden, len(bias), (1, 3, 3), padding=(0, 1, 1))
        self.head.weight = nn.Parameter(weight[:, :, None].clone())
        self.head.bias = nn.Parameter(bias.clone())

    def forward(self, past: Tensor) -> Tensor:
        """Predicts future frames from past frames (batch, frames, channels, height, width)."""
        past = fold(past, self.patch)
        batch, steps, _, height, width = past.shape
        zero = past.new_zeros(batch, self.hidden, height, width)
        h1 = c1 = h2 = c2 = h3 = c3 = h4 = c4 = zero
        for t in range(steps):
            h1, c1 = self.encoder_1(past[:, t], h1, c1)
            h2, c2 = self.encoder_2(h1, h2, c2)
        if self.all_at_once:
            maps = torch.sigmoid(self.head(h2[:, :, None])[:, :, 0])
            return unfold(maps.unflatten(1, (self.future, -1)), self.patch)
        x, outputs = h2, []
        for _ in range(self.future):
            h3, c3 = self.decoder_1(x, h3, c3)
            h4, c4 = self.decoder_2(h3, h4, c4)
            x = h4
            outputs.append(h4)
        frames = torch.sigmoid(self.head(torch.stack(outputs, 2))).transpose(1, 2)
        return unfold(frames, self.patch)

    def loss(self, batch: Any) -> Tensor:
        """Computes the mean squared error of the future frames."""
        return F.mse_loss(self(batch.past), batch.future)


def fold(frames: Tensor, patch: int) -> Tensor:
    """Folds p×p pixels into channels: (..., C, H, W) to (..., C·patch², H/patch, W/patch)."""
    *lead, channels, height, width = frames.shape
    if patch == 1:
        return frames
    folded = frames.new_empty(*lead, channels * patch**2, height // patch, width // patch)
    for c in range(channels):
        for p in range(patch):
            for q in range(patch):
                folded[..., (c * patch + p) * patch + q, :, :] = frames[..., c, p::patch, q::patch]
    return folded


def unfold(folded: Tensor, patch: int) -> Tensor:
    """Unfolds channels into p×p pixels: the inverse of `fold`."""
    if patch == 1:
        return folded
    *lead, channels, height, width = folded.shape
    frames = folded.new_empty(*lead, channels // patch**2, height * patch, width * patch)
    for c in range(channels // patch**2):
        for p in range(patch):
            for q in range(patch):
                frames[..., c, p::patch, q::patch] = folded[..., (c * patch + p) * patch + q, :, :]
    return frames


textbook = ConvLSTM
