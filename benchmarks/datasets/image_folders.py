"""Reads folders of images: one folder per class, whose name is the class."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
    else:
        require_parts_only(inner.values(), parts.values())
    left_out = [] if path in parts.values() else loose_files(path)
    found = {part: _read_part(folder, left_out) for part, folder in parts.items()}
    names = sorted({str(label) for part in found.values() for label in part.labels})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    notes = left_out_note(left_out, "no images in a folder of a class")
    return Found(found, names, notes)


def require_parts_only(folders: Iterable[Path], parts: Collection[Path]) -> None:
    """Checks that no folder is beside those of training and test data.

    Args:
        folders: the folders of a source.
        parts: those of its parts.

    Raises:
        InputError: if there is another one, whose content would be left out.
    """
    for other in folders:
        if other not in parts:
            raise InputError(
                f"{other} is neither training nor test data, which is beside it: move it out of "
                f"{other.parent}"
            )


def loose_files(folder: Path) -> list[Path]:
    """Lists the files of a folder that has folders of data. Hidden files are left out."""
    return sorted(f for f in folder.iterdir() if not f.is_dir() and not f.name.startswith("."))


def left_out_note(files: Sequence[Path], reason: str) -> list[str]:
    """Writes the note on files that were not read; none if there are no such files.

    Args:
        files: the files.
        reason: what they are.
    """
    if not files:
        return []
    return [f"Left out, since they are {reason}: {len(files)} in all, as {files[0]}."]


def _read_part(path: Path, left_out: list[Path]) -> LabelledImages:
    builder = PartBuilder()
    folders = _folders(path)
    if not folders:
        raise InputError(
            f"{path} has no folders: make one folder of images per class in it, or give --clips if "
            "it holds clips"
        )
    left_out.extend(loose_files(path))
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
