"""Joins the images that a user adds to training and test images of one size, and checks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.datasets.array_files import MAX_BYTES
from benchmarks.datasets.own_datasets import Added
from benchmarks.datasets.task_data import TEST_SEED, Split, choose_stratified, held_out_count
from benchmarks.records.errors import InputError

SMALLEST, LARGEST = 8, 256
"""Least and greatest height and width of an image, in pixels."""


class LabelledImages(NamedTuple):
    """Holds the images and labels of one part, as they were found."""

    images: Sequence[np.ndarray]
    """uint8 (1 or 3, height, width), of any sizes."""
    labels: Sequence[int | str]


class Found(NamedTuple):
    """Holds what was found in a source."""

    parts: dict[str, LabelledImages]
    """By name, `train`, `val` or `test`."""
    classes: list[str] | None = None
    """The names of the classes in the order of the labels; None: the source has no names."""
    notes: Sequence[str] = ()
    """What was left out, in sentences."""


class PartBuilder:
    """Collects the images and labels of a part, and limits their size in memory."""

    def __init__(self) -> None:
        self._images: list[np.ndarray] = []
        self._labels: list[int | str] = []
        self._bytes = 0

    def add(self, image: np.ndarray, label: int | str) -> None:
        """Adds an image. Raises ValueError if the images become too large for the memory."""
        self._bytes += image.nbytes
        if self._bytes > MAX_BYTES:
            raise ValueError(f"the images take more than {MAX_BYTES >> 30} GiB")
        self._images.append(image)
        self._labels.append(label)

    def part(self) -> LabelledImages:
        """Returns the collected images and labels."""
        return LabelledImages(self._images, self._labels)


def assemble(path: Path, found: Found, *, size: tuple[int, int] | None, test_share: float) -> Added:
    """Joins and checks the images of a source.

    Validation images are added to the training images, because runs hold out validation images
    themselves; without test images, they are the test images. Without both, a seeded, stratified
    share of the images becomes the test images.

    Args:
        path: the source.
        found: what was found in it.
        size: height and width to which images are resized; None: images keep their size.
        test_share: the share of test images, if the source has none.

    Returns:
        The images and classes.

    Raises:
        InputError: if images differ in size, or there are too few images or classes.
    """
    notes = list(found.notes)
    parts = _join_validation(path, found.parts, notes)
    classes, labels = _labelled(path, parts, found.classes)
    images = _fit(path, parts, size, notes)
    splits = {name: Split(images[name], labels[name]) for name in parts}
    if "test" not in splits:
        splits["train"], splits["test"] = _divided(splits["train"], test_share)
        notes.append(
            f"{len(splits['test'].labels)} images were chosen as test images, with a fixed seed "
            "and stratified by class, since there are no others."
        )
    _require_enough(path, splits["train"], splits["test"], classes)
    return Added(splits["train"], splits["test"], classes, tuple(notes))


def _join_validation(
    path: Path, found: Mapping[str, LabelledImages], notes: list[str]
) -> dict[str, LabelledImages]:
    """Returns the parts `train` and, if there is one, `test`."""
    parts = dict(found)
    for name, part in parts.items():
        if len(part.images) != len(part.labels) or not len(part.images):
            raise InputError(
                f"{path} has {len(part.images)} {name} images and {len(part.labels)} labels: give "
                "one label per image"
            )
    if "train" not in parts:
        raise InputError(f"{path} has {', '.join(parts)} images and no training images: add some")
    validation = parts.pop("val", None)
    if validation is None:
        return parts
    if "test" not in parts:
        notes.append("The validation images are the test images, since there are no others.")
        return parts | {"test": validation}
    notes.append("The validation images were added to the training images.")
    train = parts["train"]
    joined = LabelledImages(
        [*train.images, *validation.images], [*train.labels, *validation.labels]
    )
    return parts | {"train": joined}


def _labelled(
    path: Path, parts: dict[str, LabelledImages], names: list[str] | None
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Returns the names of the classes, and the labels by part as indices of the names."""
    distinct = {label for part in parts.values() for label in part.labels}
    numbers = sorted(label for label in distinct if isinstance(label, int))
    texts = sorted(label for label in distinct if isinstance(label, str))
    if numbers and texts:
        raise InputError(f"{path} has labels that are numbers and labels that are texts: use one")
    order: Sequence[int | str] = texts or numbers
    if names is None:
        names = [str(label) for label in order]
    elif texts:
        order = names
    elif numbers[0] >= 0 and numbers[-1] < len(names):
        order = range(len(names))
    else:
        raise InputError(
            f"{path} has labels of {numbers[0]} to {numbers[-1]}, and names of {len(names)} "
            "classes: correct one of them"
        )
    if not set(order) >= distinct:
        (other, *_) = distinct - set(order)
        raise InputError(
            f"{path} has the label {str(other)[:40]!r}, which is not among its classes"
        )
    number = {label: index for index, label in enumerate(order)}
    return tuple(names), {
        name: np.array([number[label] for label in part.labels], np.int64)
        for name, part in parts.items()
    }


def _fit(
    path: Path, parts: dict[str, LabelledImages], size: tuple[int, int] | None, notes: list[str]
) -> dict[str, np.ndarray]:
    """Brings all images to one size and number of channels, by part (N, channels, H, W)."""
    every = [image for part in parts.values() for image in part.images]
    sizes = Counter(image.shape[1:] for image in every)
    if size is None and len(sizes) > 1:
        (common, count), *_ = sizes.most_common()
        raise InputError(
            f"{path} has images of {len(sizes)} sizes ({count} of {len(every)} are "
            f"{common[0]}×{common[1]}): resize all with --size, as --size {min(common)}"
        )
    height, width = size or next(iter(sizes))
    if min(height, width) < SMALLEST or max(height, width) > LARGEST:
        raise InputError(
            f"{path}: images of {height}×{width} pixels cannot be used: resize them with --size to "
            f"{SMALLEST} to {LARGEST} pixels"
        )
    if set(sizes) != {(height, width)}:
        notes.append(f"Images were resized to {height}×{width} pixels.")
    channels = max(len(image) for image in every)
    if any(len(image) < channels for image in every):
        notes.append("Grey images were given three equal channels, as others have colours.")
    return {
        name: np.stack([fit_image(image, height, width, channels) for image in part.images])
        for name, part in parts.items()
    }


def fit_image(image: np.ndarray, height: int, width: int, channels: int) -> np.ndarray:
    """Resizes an image, and repeats a grey one for each channel.

    Args:
        image: uint8 (1 or `channels`, any height, any width).
        height: height of the result in pixels.
        width: width of the result in pixels.
        channels: number of channels of the result.

    Returns:
        uint8 (channels, height, width); `image` itself if it has this shape.
    """
    if image.shape[1:] != (height, width):
        from PIL import Image

        planes = [
            Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS)
            for plane in image
        ]
        image = np.stack([np.asarray(plane) for plane in planes])
    return image if len(image) == channels else np.repeat(image, channels, axis=0)


def _divided(whole: Split, test_share: float) -> tuple[Split, Split]:
    count = round(test_share * len(whole.labels))
    test = choose_stratified(whole.labels, count, seed=TEST_SEED)
    kept = np.setdiff1d(np.arange(len(whole.labels)), test)
    return (
        Split(whole.images[kept], whole.labels[kept]),
        Split(whole.images[test], whole.labels[test]),
    )


def _require_enough(path: Path, train: Split, test: Split, classes: Sequence[str]) -> None:
    """Raises InputError if no trial could be trained and validated on the images."""
    if len(classes) < 2:
        raise InputError(f"{path} has one class: add images of two classes or more")
    counts = np.bincount(train.labels, minlength=len(classes))
    least = int(counts.argmin())
    if counts[least] < 2:
        raise InputError(
            f"{path} has {counts[least]} training images of the class {classes[least]}: add some, "
            "since each class needs 2 to be trained and validated"
        )
    samples = len(train.labels)
    if held_out_count(samples, samples) < max(10, len(classes)):
        raise InputError(
            f"{path} has {samples} training images: add some, since a fifth is held out for "
            f"validation, which must be {max(10, len(classes))} images at least"
        )
    if not len(test.labels):
        raise InputError(f"{path} has no test images: add some, or give --test-share")
