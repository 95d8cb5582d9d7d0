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


def random_crop(x: Tensor, size: tuple[int, int], *, flip: bool) -> Tensor:
    """Cuts a rectangle out of each image at a random place; with `flip` mirrors half of them.

    Args:
        x: (batch, channels, height, width).
        size: rows and columns of the rectangle, at most those of the image.
        flip: whether each rectangle is mirrored, left to right, with probability ½.

    Returns:
        (batch, channels, *size). Places are drawn from torch's global generator.
    """
    batch, _, height, width = x.shape
    rows, columns = size
    top = torch.randint(height - rows + 1, (batch, 1), device=x.device)
    left = torch.randint(width - columns + 1, (batch, 1), device=x.device)
    down, right = torch.arange(rows, device=x.device), torch.arange(columns, device=x.device)
    across = left + right
    if flip:
        mirrored = torch.randint(2, (batch, 1), device=x.device).bool()
        across = torch.where(mirrored, left + right.flip(0), across)
    sample = torch.arange(batch, device=x.device)[:, None, None]
    channels_last = x.permute(0, 2, 3, 1)
    return channels_last[sample, (top + down)[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


def centre_crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cuts a rectangle out of the middle of each image.

    Args:
        x: (batch, channels, height, width).
        size: rows and columns of the rectangle, at most those of the image.

    Returns:
        (batch, channels, *size). Of an odd margin the larger part is below or right.
    """
    top, left = ((whole - part) // 2 for whole, part in zip(x.shape[2:], size, strict=True))
    return x[:, :, top : top + size[0], left : left + size[1]]


def grey(x: Tensor) -> Tensor:
    """(batch, channels, height, width) to one channel, the luma where there are three."""
    if x.shape[1] == 1:
        return x
    return torch.einsum("bchw,c->bhw", x, x.new_tensor(LUMA)).unsqueeze(1)
