"""Images on a larger canvas, and their edges."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.layers.images import random_shift


def place(x: Tensor, size: tuple[int, int], *, shifted: bool = False) -> Tensor:
    """Images padded with zeros to a size, centred, or each placed at random.

    x: (batch, channels, height, width); draws from torch's global generator only where `shifted`.
    """
    rows, columns = size[0] - x.shape[2], size[1] - x.shape[3]
    top, left = rows // 2, columns // 2
    centred = F.pad(x, (left, columns - left, top, rows - top))
    return random_shift(centred, min(top, left)) if shifted else centred


SOBEL_FLOOR = 1e-8
"""Added to the range of a channel's edges, as in the authors' code, since that range may be 0."""


def sobel(x: Tensor) -> Tensor:
    """Finds the edges of images as the authors' code of stacked capsules does.

    Images are padded by reflection, and the two Sobel derivatives of each channel are added. The
    median is subtracted from the sum, the absolute value is taken, and it is scaled to reach from 0
    to 1. Median, minimum and maximum are of one channel of one image. The sum is not the length of
    the gradient: an edge at which the two derivatives cancel is lost.

    Args:
        x: (batch, channels, height, width), sides of at least 2.

    Returns:
        The same shape, in [0, 1]; zeros where a channel has no edges.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    smooth = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    steep = padded[:, :, 2:] - padded[:, :, :-2]
    across = smooth[..., 2:] - smooth[..., :-2]
    down = steep[..., :-2] + 2 * steep[..., 1:-1] + steep[..., 2:]
    both = (across + down).flatten(2)
    edges = (both - _median(both)).abs()
    low, high = edges.aminmax(dim=2, keepdim=True)
    return ((edges - low) / (high - low + SOBEL_FLOOR)).view_as(x)


def _median(x: Tensor) -> Tensor:
    """Finds the medians of the last axis, which is kept with length 1.

    Of an even count it is the lower middle one, as the authors' nearest percentile is. On a GPU
    `median` would return the index of any of equal numbers; a deterministic run refuses that.
    """
    if x.is_cuda:
        return x.sort(-1).values[..., (x.shape[-1] - 1) // 2, None]
    return x.median(-1, keepdim=True).values
