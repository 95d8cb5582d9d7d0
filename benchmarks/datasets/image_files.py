"""Decodes image files: PNG, JPEG, BMP, GIF, TIFF, WebP, PGM and PPM."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.datasets.packed_files import read_bounded

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_BYTES = 1 << 28
"""Largest size of a file in bytes."""
MAX_PIXELS = 1 << 24
"""Largest number of pixels; a file that claims more is refused before it is decoded."""
MAX_FRAMES = 16
"""An animation may have as many pixels as this number of the largest images."""


def open_image(source: Path | bytes) -> Image:
    """Decodes one image of eight bits per channel.

    Args:
        source: the file, or its content.

    Returns:
        The image as `plain_image` returns it.

    Raises:
        ValueError: if the content is none of `FORMATS`, or the image is too large, moves, or is one
            that `plain_image` refuses.
        OSError: if the content is damaged.
    """
    image = _opened(source)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} × {image.height} pixels")
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError("it has several frames")
    return plain_image(image)


def read_frames(path: Path) -> list[Image]:
    """Decodes the frames of an image file: several of an animation, or one.

    Args:
        path: the file.

    Returns:
        The frames as `plain_image` returns them.

    Raises:
        ValueError: if the content is none of `FORMATS`, or it is too large, or a frame is one that
            `plain_image` refuses.
        OSError: if the content is damaged.
    """
    from PIL import ImageSequence

    image = _opened(path)
    count = getattr(image, "n_frames", 1)
    if image.width * image.height * count > MAX_FRAMES * MAX_PIXELS:
        raise ValueError(f"it has {count} frames of {image.width} × {image.height} pixels")
    # The iterator yields the same object again, with other pixels.
    return [plain_image(frame.copy()) for frame in ImageSequence.Iterator(image)]


def _opened(source: Path | bytes) -> Image:
    """Reads the header of an image. Raises ValueError if it is none of `FORMATS`."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(source, Path):
        with source.open("rb") as stream:
            source = read_bounded(stream, MAX_BYTES)
    try:
        return Image.open(io.BytesIO(source), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"it is no image of the formats {', '.join(FORMATS)}") from None


def plain_image(image: Image) -> Image:
    """Converts an image to grey or colour of eight bits per channel, without a loss.

    A palette is replaced by its colours, and an alpha channel without effect is removed.

    Args:
        image: any image of Pillow; its pixels are read.

    Returns:
        The image in the mode `L` (grey) or `RGB`; `image` itself if it has this mode.

    Raises:
        ValueError: if the image is partly transparent, or has more than eight bits per channel.
        OSError: if its content is damaged.
    """
    image.load()
    if image.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa"):
        image = _without_alpha(image.convert("LA" if image.mode == "LA" else "RGBA"))
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"its pixels have the mode {image.mode}, not eight bits per channel")
    return image


def _without_alpha(image: Image) -> Image:
    *_, alpha = image.split()
    if alpha.getextrema() != (255, 255):
        raise ValueError("it is partly transparent: store it without transparency")
    return image.convert("L" if image.mode == "LA" else "RGB")


def pixels_of(image: Image) -> np.ndarray:
    """Copies the pixels of an image.

    Args:
        image: in the mode `L` or `RGB`.

    Returns:
        uint8 (1 or 3, height, width).
    """
    array = np.array(image, np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
