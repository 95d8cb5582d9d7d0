"""Writes the pictures of a run as PNG files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

WIDTH = 600
"""Pixels; a narrower picture is enlarged by the largest whole factor that stays within them."""


def save_pictures(folder: Path, pictures: Mapping[str, np.ndarray]) -> dict[str, Path]:
    """Writes pictures as `<name>.png`; small pictures are enlarged.

    Args:
        folder: the folder of the run.
        pictures: by name, an array (height, width) or (height, width, 3) uint8.

    Returns:
        The paths of the files by name.
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
