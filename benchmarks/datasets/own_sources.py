"""Reads what a user adds as an own dataset, and checks it.

This is a folder of images per class, an .npz or .npy file, a Parquet file or a folder of such
files, or a Python script with torch datasets. What it is, is recognised by content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.datasets import parquet_files
from benchmarks.datasets.array_files import NPY, ZIP, read_arrays, to_labels, to_pixels, unread_note
from benchmarks.datasets.data_files import explain_read_errors
from benchmarks.datasets.dataset_scripts import run_script
from benchmarks.datasets.image_files import open_image, pixels_of, plain_image
from benchmarks.datasets.image_folders import read_folder
from benchmarks.datasets.own_datasets import Added
from benchmarks.datasets.own_parts import Found, LabelledImages, PartBuilder, assemble
from benchmarks.records.errors import InputError

PARQUET = b"PAR1"
_REMEDY = "correct it, and add it again"
_IMAGES = ("x_{}", "X_{}", "{}_images", "{}_image", "{}_data", "{}_x", "images_{}")
_LABELS = ("y_{}", "Y_{}", "{}_labels", "{}_label", "{}_targets", "{}_y", "labels_{}")
_ALL_IMAGES = ("images", "image", "x", "X", "data", "arr_0")
_ALL_LABELS = ("labels", "label", "y", "Y", "targets", "target", "arr_1")
_PARTS = {"train": "train", "training": "train", "test": "test", "val": "val", "valid": "val"}


class Choice(NamedTuple):
    """Holds the options of `capsbench data add` that say how a source is read."""

    images: str | None = None
    """Name of the array or of the column of images; None: one of the usual names."""
    labels: str | None = None
    """Name of the array or of the column of labels; for an .npy file, the file of labels."""
    size: tuple[int, int] | None = None
    """Height and width to which images are resized; None: images keep their size."""
    test_share: float = 0.2
    """Share of the images that become test images, if the source has no test images."""


def read_source(path: Path, choice: Choice) -> Added:
    """Reads and checks what a user adds.

    Args:
        path: the folder or file.
        choice: how it is read.

    Returns:
        The images and classes.

    Raises:
        InputError: if the source cannot be read, or no run could use it.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: name a folder or a file")
    with explain_read_errors(path, _REMEDY):
        reader = _reader(path)
        unused = _UNUSED.get(reader, {})
        for option, why in unused.items():
            if getattr(choice, option) is not None:
                raise InputError(f"--{option}, but {path} {why}: leave the option out")
        found = reader(path, choice)
        return assemble(path, found, size=choice.size, test_share=choice.test_share)


def _reader(path: Path) -> Callable[[Path, Choice], Found]:
    if path.is_dir():
        return _parquet_folder if any(path.rglob("*.parquet")) else _image_folder
    with path.open("rb") as stream:
        start = stream.read(len(NPY))
    for magic, reader in {NPY: _array, ZIP: _arrays, PARQUET: _parquet}.items():
        if start.startswith(magic):
            return reader
    if path.suffix == ".py":
        return _script
    raise InputError(
        f"{path} has a format that is not read: give a folder with one folder of images per class, "
        "an .npz or .npy file, a Parquet file, or a .py file that makes torch datasets"
    )


def _image_folder(path: Path, choice: Choice) -> Found:
    return read_folder(path)


def _array(path: Path, choice: Choice) -> Found:
    if choice.labels is None:
        raise InputError(f"{path} has no labels: name their .npy file with --labels FILE")
    labels = Path(choice.labels)
    with explain_read_errors(labels, _REMEDY):
        (numbers,) = read_arrays(labels).values()
        numbers = to_labels(numbers)
    (images,) = read_arrays(path).values()
    return Found({"train": _of_arrays(images, numbers)})


def _arrays(path: Path, choice: Choice) -> Found:
    arrays = read_arrays(path)

    def pick(given: str | None, usual: Iterable[str]) -> str | None:
        names = (given,) if given else usual
        return next((name for name in names if name in arrays), None)

    parts, chosen = {}, set[str]()
    for word, part in _PARTS.items():
        images = pick(None, (name.format(word) for name in _IMAGES))
        labels = pick(None, (name.format(word) for name in _LABELS))
        if images is not None and labels is not None:
            parts[part] = _of_arrays(arrays[images], to_labels(arrays[labels]))
            chosen |= {images, labels}
    if not parts or choice.images or choice.labels:
        images, labels = pick(choice.images, _ALL_IMAGES), pick(choice.labels, _ALL_LABELS)
        if images is None or labels is None:
            raise InputError(
                f"{path} has no arrays with the usual names of images and labels: it has "
                f"{', '.join(sorted(arrays))[:100]}: name them with --images NAME and --labels NAME"
            )
        parts = {"train": _of_arrays(arrays[images], to_labels(arrays[labels]))}
        chosen = {images, labels}
    return Found(parts, notes=unread_note(arrays, chosen))


def _of_arrays(images: np.ndarray, labels: np.ndarray) -> LabelledImages:
    """Brings an array of images into the order samples, channels, height, width."""
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
        raise ValueError(f"its images are {images.shape}, not (samples, height, width[, channels])")
    first, last = (images.shape[axis] in (1, 3) for axis in (1, 3))
    if first == last:
        raise ValueError(
            f"its images are {images.shape}, and no axis is clearly that of the 1 or 3 channels"
        )
    pixels = to_pixels(images)
    return LabelledImages(list(pixels if first else pixels.transpose(0, 3, 1, 2)), labels.tolist())


def _parquet(path: Path, choice: Choice) -> Found:
    return _of_parquet({"train": path}, choice)


def _parquet_folder(path: Path, choice: Choice) -> Found:
    """Finds the first file of each part by name, such as `train-00000-of-00003.parquet`."""
    files: dict[str, Path] = {}
    for file in sorted(path.rglob("*.parquet")):
        word = file.name.split("-")[0].split(".")[0].replace("validation", "valid")
        if word not in _PARTS:
            raise InputError(
                f"{file} is neither training nor test images by its name: name one file, or call "
                "the files train… and test…"
            )
        files.setdefault(_PARTS[word], file)
        if file.parent != files[_PARTS[word]].parent:
            raise InputError(f"{path} holds several datasets: name the folder {file.parent}")
    return _of_parquet(files, choice)


def _of_parquet(files: Mapping[str, Path], choice: Choice) -> Found:
    parts, names = {}, None
    for part, path in files.items():
        with explain_read_errors(path, _REMEDY):
            columns = parquet_files.columns_of(path, choice.images, choice.labels)
            builder = PartBuilder()
            for number, (content, label) in enumerate(parquet_files.read_rows(path, columns)):
                with explain_read_errors(path / f"row {number}", _REMEDY):
                    builder.add(pixels_of(open_image(content)), label)
            parts[part] = builder.part()
            names = names or parquet_files.class_names(path, columns)
    return Found(parts, names)


def _script(path: Path, choice: Choice) -> Found:
    found = run_script(path)
    parts = {}
    for part, dataset in found.parts.items():
        builder = PartBuilder()
        for index in range(len(dataset)):
            image, label = dataset[index]
            builder.add(_pixels(image), _label(label))
        parts[part] = builder.part()
    return Found(parts, found.classes)


def _pixels(image: Any) -> np.ndarray:
    """Converts an item's image: a PIL image, an array (H, W[, C]) or a tensor (C, H, W)."""
    if hasattr(image, "convert"):
        return pixels_of(plain_image(image))
    tensor = hasattr(image, "detach")
    array = image.detach().cpu().numpy() if tensor else np.asarray(image)
    # The images are read one by one, and no single image may decide the range of all values.
    if array.dtype != np.uint8 and not (array.dtype.kind == "f" and array.max(initial=0) <= 1):
        raise ValueError("an item's image holds neither bytes nor numbers of 0 to 1")
    array = to_pixels(array)
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3 or array.shape[0 if tensor else 2] not in (1, 3):
        raise ValueError(f"an item's image is {array.shape}, without an axis of 1 or 3 channels")
    return array if tensor else array.transpose(2, 0, 1)


def _label(label: Any) -> int | str:
    return label if isinstance(label, str) else int(label)


_FOLDER = "is a folder of images, whose folders are the classes"
_SCRIPT = "is a script, whose datasets have images and labels"
_UNUSED: dict[Callable[[Path, Choice], Found], dict[str, str]] = {
    _image_folder: {"images": _FOLDER, "labels": _FOLDER},
    _script: {"images": _SCRIPT, "labels": _SCRIPT},
    _array: {"images": "holds one array"},
}
"""By reader, the options that it does not use, with the reason."""
