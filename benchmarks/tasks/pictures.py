"""Pictures as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_GAP = 2
_GROUND = 96


def grid(rows: Sequence[Sequence[Tensor]]) -> np.ndarray:
    """Images (channels, height, width) in [0, 1] as rows of one picture (H, W, channels) uint8.

    One channel gives (H, W).
    """
    images = torch.stack([torch.stack(list(row)) for row in rows]).detach().float().cpu()
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    r, c, channels, height, width = pixels.shape
    picture = np.full(
        (r * (height + _GAP) + _GAP, c * (width + _GAP) + _GAP, channels), _GROUND, np.uint8
    )
    for i in range(r):
        for j in range(c):
            y, x = _GAP + i * (height + _GAP), _GAP + j * (width + _GAP)
            picture[y : y + height, x : x + width] = pixels[i, j].permute(1, 2, 0).numpy()
    return picture[..., 0] if channels == 1 else picture
