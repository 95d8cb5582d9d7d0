"""Resizing whole batches of images, with a random crop and mirroring in training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey pixel (ITU-R BT.601)."""


def resize(x: Tensor, side: int) -> Tensor:
    """(batch, channels, height, width) to (batch, channels, side, side), bilinear."""
    if x.shape[2:] == (side, side):
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def random_crop(x: Tensor, side: int, *, flip: bool) -> Tensor:
    """A square of each image at a place of its own; with `flip` half of them are mirrored.

    x: (batch, channels, height, width); draws from torch's global generator.
    """
    batch, _, height, width = x.shape
    top = torch.randint(height - side + 1, (batch, 1), device=x.device)
    left = torch.randint(width - side + 1, (batch, 1), device=x.device)
    steps = torch.arange(side, device=x.device)
    columns = left + steps
    if flip:
        mirrored = torch.randint(2, (batch, 1), device=x.device).bool()
        columns = torch.where(mirrored, left + steps.flip(0), columns)
    sample = torch.arange(batch, device=x.device)[:, None, None]
    channels_last = x.permute(0, 2, 3, 1)
    return channels_last[sample, (top + steps)[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def grey(x: Tensor) -> Tensor:
    """(batch, channels, height, width) to one channel, the luma where there are three."""
    if x.shape[1] == 1:
        return x
    return torch.einsum("bchw,c->bhw", x, x.new_tensor(LUMA)).unsqueeze(1)
