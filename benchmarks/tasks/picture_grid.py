"""Arranges images in a grid, as one picture."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.variant import Heat, Picture

_GAP = 2
_GROUND = 96
_HEAT_ALPHA = 0.6


def grid(rows: Picture) -> np.ndarray:
    """Arranges rows of images in one picture, with gaps between the images.

    Args:
        rows: lists of images of equal size: (1 or 3, height, width) in [0, 1], or an image with a
            heat map.

    Returns:
        (height, width) uint8 if all images are grey, otherwise (height, width, 3) uint8.
    """
    drawn = [[_pixels(image) for image in row] for row in rows]
    if any(pixels.ndim == 3 for row in drawn for pixels in row):
        drawn = [
            [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in row] for row in drawn
        ]
    height, width, *colours = drawn[0][0].shape
    size = (len(drawn) * (height + _GAP) + _GAP, max(map(len, drawn)) * (width + _GAP) + _GAP)
    picture = np.full((*size, *colours), _GROUND, np.uint8)
    for i, row in enumerate(drawn):
        for j, pixels in enumerate(row):
            y, x = _GAP + i * (height + _GAP), _GAP + j * (width + _GAP)
            picture[y : y + height, x : x + width] = pixels
    return picture


def _pixels(image: Tensor | Heat) -> np.ndarray:
    """Converts an image to an array (height, width) or (height, width, 3) uint8."""
    if isinstance(image, Heat):
        return _heated(image)
    pixels = image.detach().float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8)
    return pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy()


def _heated(picture: Heat) -> np.ndarray:
    """Draws a heat map over its image in inferno colours: (height, width, 3) uint8."""
    from matplotlib import colormaps

    image = picture.image.detach().float().cpu().clamp(0, 1)
    heat = picture.heat.detach().float().cpu()[None, None]
    heat = F.interpolate(heat, size=image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    heat = (heat - heat.min()) / (heat.max() - heat.min()).clamp_min(1e-12)
    colours = colormaps["inferno"](heat.numpy())[..., :3]
    ground = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
    mixed = _HEAT_ALPHA * colours + (1 - _HEAT_ALPHA) * ground
    return (mixed * 255).round().astype(np.uint8)
