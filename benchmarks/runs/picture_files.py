"""Pictures of a run, as files in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

WIDTH = 600
"""Pixels to which narrower pictures are enlarged, by a whole factor."""


def save_pictures(folder: Path, pictures: Mapping[str, np.ndarray]) -> dict[str, Path]:
    """Writes pictures as PNG files, enlarged where they are small.

    Args:
        folder: of the run.
        pictures: (height, width, 3) uint8, by name.

    Returns:
        The files, by name.
    """
    from PIL import Image

    paths = {}
    for name, pixels in pictures.items():
        image = Image.fromarray(pixels)
        factor = max(1, math.floor(WIDTH / image.width))
        paths[name] = folder / f"{name}.png"
        image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).save(
            paths[name]
        )
    return paths
