"""Writes the pictures of a run as titled PNG files, and predicted clips as animated GIF files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.tasks.picture_grid import grid
from benchmarks.tasks.pictures import CLIPS, LabelledPicture

WIDTH = 600
"""Pixels; a narrower picture is enlarged by the largest whole factor that stays within them."""
FRAME_MILLISECONDS = 150
TEXT, MARGIN = 13, 6
"""Height of a line of text and width of a margin, in pixels."""


def save_pictures(
    folder: Path, pictures: Mapping[str, LabelledPicture], *, title: str, prefix: str = ""
) -> dict[str, Path]:
    """Writes pictures as `<prefix><name>.png`, with a title and labels; small ones are enlarged.

    Predicted clips are also written as an animation, `<prefix><name>.gif`.

    Args:
        folder: the folder of the files, which must exist.
        pictures: the pictures by name.
        title: what the pictures show, such as `capsnet on mnist, epoch 3`.
        prefix: begins the names of the files.

    Returns:
        The paths of the PNG files by name.
    """
    paths = {}
    for name, picture in pictures.items():
        paths[name] = folder / f"{prefix}{name}.png"
        drawn = _enlarged(grid(picture.rows))
        _titled(drawn, f"{name.replace('_', ' ')}: {title}", picture.labels).save(paths[name])
        if name == CLIPS:
            _save_clips(picture, title, folder / f"{prefix}{name}.gif")
    return paths


def _save_clips(picture: LabelledPicture, title: str, path: Path) -> None:
    """Writes rows of frames as an animation: one column per row, one frame per time step."""
    kinds = len(dict.fromkeys(picture.labels)) or 1
    frames = []
    for step in range(len(picture.rows[0])):
        images = [row[step] for row in picture.rows]
        rows = [images[i : i + kinds] for i in range(0, len(images), kinds)]
        columns = " | ".join(picture.labels[:kinds])
        frames.append(_titled(_enlarged(grid(rows)), f"{title}\n{columns}\nframe {step + 1}", ()))
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=FRAME_MILLISECONDS, loop=0
    )


def _enlarged(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    factor = max(1, math.floor(WIDTH / image.width))
    size = (image.width * factor, image.height * factor)
    return image.resize(size, Image.Resampling.NEAREST)


def _titled(image: Image.Image, title: str, labels: tuple[str, ...]) -> Image.Image:
    """Draws a title above an image, and labels to the left of its equally high rows."""
    font = ImageFont.load_default(TEXT)
    lines = title.splitlines()
    left = max((math.ceil(font.getlength(label)) for label in labels), default=0)
    left += 2 * MARGIN if labels else MARGIN
    top = len(lines) * (TEXT + 4) + MARGIN
    wide = max(math.ceil(font.getlength(line)) + 2 * MARGIN for line in lines)
    size = (max(left + image.width + MARGIN, wide), top + image.height + MARGIN)
    canvas = Image.new(image.mode, size, "white")
    pen = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        pen.text((MARGIN, 2 + i * (TEXT + 4)), line, fill="black", font=font)
    canvas.paste(image, (left, top))
    for i, label in enumerate(labels):
        middle = top + round((i + 0.5) * image.height / len(labels))
        pen.text((left - MARGIN, middle), label, fill="black", font=font, anchor="rm")
    return canvas
