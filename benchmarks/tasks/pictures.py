"""Arranges what a model makes of samples as rows of images, with a label for each row."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.datasets.samples import Batch
from models.variant import Clips, Coded, Images, Picture, Variant

CLIPS = "predictions"
"""The name of the picture of predicted frames."""

_LABELS: dict[str, tuple[tuple[str, ...], ...]] = {
    CLIPS: (("prediction", "truth", "squared difference"), ("prediction",)),
    "reconstructions": (("image", "reconstruction"),),
    "parts": (("image", "reconstruction", "one colour per part"),),
    "objects": (
        ("image", "reconstruction", "one colour per object"),
        ("image", "from the parts", "from the objects", "one colour per object"),
    ),
    "next_frames": (("last frame but one", "last frame", "next frame, truth", "prediction"),),
    "attention": (("image", "attention"),),
    "constellations": (("input", "one colour per capsule"),),
}
"""By name of a picture, the labels that its rows may have; a number of rows has one meaning."""


class LabelledPicture(NamedTuple):
    """Holds rows of images with their labels."""

    rows: Picture
    labels: tuple[str, ...]
    """One label per row; empty if the rows have no meaning of their own, as rows of templates."""


def draw_samples(model: Variant, batch: Batch, *, truth: bool = True) -> dict[str, LabelledPicture]:
    """Draws samples, what the model makes of them, and the variant's own pictures.

    For predictions, each sequence has a row of past and predicted frames, a row of past and true
    frames, and a row of their squared difference.

    Args:
        model: the model, in evaluation mode.
        batch: a few samples, on the model's device.
        truth: whether the true future frames are known; otherwise only predictions are drawn.

    Returns:
        The pictures by name.
    """
    drawn: dict[str, Picture] = {}
    if isinstance(batch, Clips):
        drawn[CLIPS] = _clips(batch, model(batch.past), truth)
    elif isinstance(batch, Images):
        output = model(batch.x)
        if isinstance(output, Coded) and output.reconstruction is not None:
            assert output.target is not None, "a reconstruction is that of a target"
            drawn["reconstructions"] = [list(output.target), list(output.reconstruction)]
    if truth:
        drawn |= model.pictures(batch)
    return {name: LabelledPicture(rows, _labels(name, len(rows))) for name, rows in drawn.items()}


def _clips(batch: Clips, predicted: Tensor, truth: bool) -> Picture:
    past, predicted = batch.past, predicted.float().clamp(0, 1)
    rows: list[list[Tensor]] = []
    for i in range(len(past)):
        rows.append([*past[i], *predicted[i]])
        if truth:
            rows.append([*past[i], *batch.future[i]])
            rows.append([*torch.zeros_like(past[i]), *(predicted[i] - batch.future[i]).square()])
    return rows


def _labels(name: str, rows: int) -> tuple[str, ...]:
    for labels in _LABELS.get(name, ()):
        if rows == len(labels) or (name == CLIPS and rows % len(labels) == 0):
            return labels * (rows // len(labels))
    return ()
