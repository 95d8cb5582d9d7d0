"""Images on a larger canvas, and their edges."""

from __future__ import annotations

import torch
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


def sobel(x: Tensor) -> Tensor:
    """Length of each channel's Sobel gradient, an image's largest brought to 1.

    (batch, channels, height, width) to the same, in [0, 1]; an image without edges to zeros.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    smooth = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    across = smooth[..., 2:] - smooth[..., :-2]
    steep = padded[:, :, 2:] - padded[:, :, :-2]
    down = steep[..., :-2] + 2 * steep[..., 1:-1] + steep[..., 2:]
    edges = torch.hypot(across, down)
    return edges / edges.amax((1, 2, 3), keepdim=True).clamp_min(1e-3)
