"""Reads a user's files as samples of a trained model: images, arrays and clips.

The numbers of an array are used as they are, so an array must have the exact size. Image files are
converted to the channels and the size of the model, and a sentence says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.datasets.data_files import explain_read_errors
from benchmarks.datasets.image_files import pixels_of, read_frames
from benchmarks.records.errors import InputError
from benchmarks.runs.trained import TrainedModel
from models.variant import ClipShape, PointShape

ARRAYS = (".npy",)
MODES = {1: "L", 3: "RGB"}
"""By number of channels, Pillow's name for such images."""
KINDS = {"L": "grey", "RGB": "RGB"}
"""By Pillow's name, ours."""
REMEDY = "give an image of eight bits per channel, an animated image, or an array (.npy)"


class Sample(NamedTuple):
    """Holds one sample that a model takes."""

    name: str
    """The file, with the position in the file if the file has several samples."""
    x: Tensor
    """The input of the model, of the size of one sample."""
    future: Tensor | None = None
    """(frames, channels, height, width): the frames after a clip's past, if the file has them."""


class Inputs(NamedTuple):
    """Holds the samples of a user's files."""

    samples: list[Sample]
    notes: list[str]
    """One sentence per file whose images were converted."""


def read_inputs(files: Sequence[Path], trained: TrainedModel) -> Inputs:
    """Reads files as samples of a model.

    An image file is one sample, and an animated image file one sample per frame. For a model of
    clips, an animated image file is one clip, and all files with a single image are together one
    clip, in the order of the files.

    Args:
        files: `.npy` files, or image files.
        trained: the model.

    Returns:
        The samples, in the order of the files.

    Raises:
        InputError: if a file cannot be read or does not fit the model.
    """
    found = Inputs([], [])
    stills: list[tuple[Path, np.ndarray]] = []
    clips = isinstance(trained.shape, ClipShape)
    for path in files:
        if not path.is_file():
            raise InputError(f"{path} is not a file: name images or .npy files")
        if path.suffix.lower() in ARRAYS:
            found.samples.extend(_samples(path, _batch(path, trained), trained))
            continue
        frames, note = _frames(path, trained)
        if note is not None:
            found.notes.append(note)
        if clips and len(frames) == 1:
            stills.append((path, frames[0]))
        else:
            found.samples.extend(_samples(path, frames[None] if clips else frames, trained))
    if stills:
        path = stills[0][0]
        clip = np.stack([frame for _, frame in stills])[None]
        found.samples.extend(_samples(path, clip, trained))
    return found


def _samples(path: Path, batch: np.ndarray, trained: TrainedModel) -> list[Sample]:
    """Converts a batch of a file; the frames of a clip are split into past and future."""
    future: list[Tensor | None] = [None] * len(batch)
    try:
        if isinstance(trained.shape, ClipShape):
            past, frames = trained.shape.past, trained.shape.past + trained.shape.future
            if batch.shape[1] < past:
                raise InputError(
                    f"the clip has {batch.shape[1]} frames, but the model reads {past}: give at "
                    f"least {past} frames, or {frames} to compare the prediction with the truth"
                )
            if batch.shape[1] >= frames:
                later = np.stack([batch[:, past + i] for i in range(trained.shape.future)], axis=1)
                future = list(trained.scaled(later))
            batch = batch[:, :past]
        x = trained.tensor(batch)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    names = [path.name] if len(x) == 1 else [f"{path.name}[{i}]" for i in range(len(x))]
    return [Sample(*sample) for sample in zip(names, x, future, strict=True)]


def _batch(path: Path, trained: TrainedModel) -> np.ndarray:
    """Reads an array as a batch (samples, …) with channels before height and width."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(
            f"{path} is not a readable .npy file ({error}): store one array of numbers with "
            "numpy.save"
        ) from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} holds several arrays: store one array with numpy.save")
    if isinstance(trained.shape, PointShape):
        return array[None] if array.ndim == 2 else array
    shape = trained.shape
    whole = array.shape
    size = (shape.channels, shape.height, shape.width)
    time = isinstance(shape, ClipShape)
    if array.shape[-3:] != size:
        if array.shape[-3:] == (shape.height, shape.width, shape.channels):
            array = np.moveaxis(array, -1, -3)
        elif shape.channels == 1 and array.shape[-2:] == size[1:]:
            array = array[..., None, :, :]
    dimensions = 5 if time else 4
    if array.ndim == dimensions - 1:
        array = array[None]
    if array.ndim != dimensions or array.shape[-3:] != size:
        frames = "frames, " if time else ""
        raise InputError(
            f"{path} has the shape {whole}, which does not fit the model: give an array of the "
            f"shape (samples, {frames}{', '.join(map(str, size))}), or image files, which are "
            "converted"
        )
    return array


def _frames(path: Path, trained: TrainedModel) -> tuple[np.ndarray, str | None]:
    """Reads the frames of an image file, (frames, channels, height, width) uint8.

    Returns:
        The frames, and a sentence if they were converted.
    """
    if isinstance(trained.shape, PointShape):
        raise InputError(
            f"{path} is an image, but the model takes sets of points: give a .npy file of "
            f"the shape (samples, {trained.shape.points}, 3) with x, y and presence"
        )
    shape = trained.shape
    mode, size = MODES[shape.channels], (shape.width, shape.height)
    with explain_read_errors(path, REMEDY):
        images = read_frames(path)
    first, frames, note = images[0], [], None
    if (first.size, first.mode) != (size, mode):
        was = f"{first.width}×{first.height} {KINDS[first.mode]}"
        note = f"{path.name}: converted from {was} to {shape.width}×{shape.height} {KINDS[mode]}"
    for image in images:
        image = image.convert(mode)
        if image.size != size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        frames.append(pixels_of(image))
    return np.stack(frames), note
