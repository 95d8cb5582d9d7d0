"""Reads folders of images: one folder per class, whose name is the class."""

from __future__ import annotations

from pathlib import Path

from benchmarks.datasets.data_files import explain_read_errors
from benchmarks.datasets.image_files import open_image, pixels_of
from benchmarks.datasets.own_parts import Found, LabelledImages, PartBuilder
from benchmarks.records.errors import InputError

ENDINGS = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm"
)  # fmt: skip
PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
"""By part, the names that its folder may have."""


def read_folder(path: Path) -> Found:
    """Reads `PATH/CLASS/image.png`, or `PATH/train/CLASS/image.png` and `PATH/test/CLASS/…`.

    Classes and images are in alphabetical order; classes whose names are numbers are in the order
    of the numbers. Hidden files are left out.

    Args:
        path: the folder.

    Returns:
        The images by part, the names of the classes, and notes on files that were left out.

    Raises:
        InputError: if an image cannot be read, or there are no folders of images.
    """
    inner = {folder.name.lower(): folder for folder in _folders(path)}
    parts = {part: inner[name] for part, names in PARTS.items() for name in names if name in inner}
    if "train" not in parts:
        parts = {"train": path}
    elif len(parts) < len(inner):
        other = next(f for f in inner.values() if f not in parts.values())
        raise InputError(
            f"{other} is neither training nor test images, which are beside it: move it out of "
            f"{path}"
        )
    left_out: list[Path] = []
    found = {part: _read_part(folder, left_out) for part, folder in parts.items()}
    names = sorted({str(label) for part in found.values() for label in part.labels})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    notes = []
    if left_out:
        notes.append(
            f"Left out, since they are no images: {len(left_out)} in all, as {left_out[0]}."
        )
    return Found(found, names, notes)


def _read_part(path: Path, left_out: list[Path]) -> LabelledImages:
    builder = PartBuilder()
    folders = _folders(path)
    if not folders:
        raise InputError(f"{path} has no folders: make one folder of images per class in it")
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.name.startswith("."):
                continue
            if file.is_dir():
                raise InputError(
                    f"{file} is a folder in the folder of a class: keep the images of a class in "
                    f"{folder} itself"
                )
            if file.suffix.lower() not in ENDINGS:
                left_out.append(file)
                continue
            with explain_read_errors(file, "replace or remove it, and add the folder again"):
                builder.add(pixels_of(open_image(file)), folder.name)
    return builder.part()


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
