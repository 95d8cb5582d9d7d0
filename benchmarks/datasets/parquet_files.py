"""Reads labelled images from Parquet files, as hubs of datasets ship them.

A row has an image, as the bytes of an image file (or a structure with the field `bytes`), and a
label, as a whole number or a text. A split may consist of several files, the shards
`train-00000-of-00003.parquet` and so on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.datasets.data_files import File
from benchmarks.datasets.image_files import open_image, pixels_of
from benchmarks.datasets.task_data import Split

MAX_ROWS = 2_000_000
"""Largest number of rows of one file; a file that claims more is refused before it is read."""
MAX_BYTES = 8 << 30
"""Largest size of the unpacked rows of one file, in bytes."""
IMAGE_COLUMNS = ("image", "img", "images", "pixels")
LABEL_COLUMNS = ("label", "labels", "class", "target", "fine_label", "y")
HUB_FILES = (
    File("train-00000-of-*.parquet", other_names=("train.parquet",)),
    File("test-00000-of-*.parquet", other_names=("test.parquet",)),
)
"""The files of the training and of the test split, under the names that hubs give them."""
_BATCH = 500


class Row(NamedTuple):
    """Holds one row: an encoded image and its label."""

    content: bytes
    label: int | str


class Columns(NamedTuple):
    """Names the columns of the images and of the labels."""

    image: str
    label: str


def shards_of(path: Path) -> list[Path]:
    """Finds the shards that belong to one Parquet file, by the numbers in its name.

    Args:
        path: the file; if its name does not end in `-00000-of-00003.parquet` or similar, it is
            the only one.

    Returns:
        The files in the order of their numbers.

    Raises:
        ValueError: if a shard is missing.
    """
    numbers = re.fullmatch(r"(.*-)(\d{5})(-of-)(\d{5})(\.parquet)", path.name)
    if numbers is None:
        return [path]
    start, _, of, count, end = numbers.groups()
    found = [path.with_name(f"{start}{n:05}{of}{count}{end}") for n in range(int(count))]
    for shard in found:
        if not shard.is_file():
            raise ValueError(f"its shard {shard.name} is missing")
    return found or [path]


def read_rows(path: Path, columns: Columns | None = None) -> Iterator[Row]:
    """Reads the rows of a Parquet file and of its further shards.

    Args:
        path: the first or only file.
        columns: the columns of images and labels; by default found by their usual names.

    Yields:
        The rows, in order.

    Raises:
        ValueError: if the file is not such a file, or is too large.
    """
    for shard in shards_of(path):
        yield from _read_file(shard, columns or columns_of(shard))


def class_names(path: Path, columns: Columns) -> list[str] | None:
    """Reads the names of the classes that the hub's library stores with a Parquet file.

    Args:
        path: the file.
        columns: the columns of images and labels.

    Returns:
        The names in the order of the labels; None if the file does not name them.
    """
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_schema(path).metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features[columns.label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def columns_of(path: Path, image: str | None = None, label: str | None = None) -> Columns:
    """Finds the columns of images and labels in a Parquet file.

    Args:
        path: the file.
        image: the name of the column of images; by default one of the usual names.
        label: the name of the column of labels; by default one of the usual names.

    Returns:
        The two names.

    Raises:
        ValueError: if a column is not there.
    """
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(path).names

    def choose(given: str | None, usual: tuple[str, ...], option: str) -> str:
        found = [name for name in ((given,) if given else usual) if name in names]
        if not found:
            listed = ", ".join(names)[:100]
            raise ValueError(f"it has no column of {option}: its columns are {listed}")
        return str(found[0])

    return Columns(choose(image, IMAGE_COLUMNS, "images"), choose(label, LABEL_COLUMNS, "labels"))


def _read_file(path: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        if rows > MAX_ROWS:
            raise ValueError(f"it claims {rows} rows")
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES >> 30} GiB")
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
            images, labels = (batch.column(name).to_pylist() for name in columns)
            for image, label in zip(images, labels, strict=True):
                yield _row(image, label, columns)


def _row(image: Any, label: Any, columns: Columns) -> Row:
    content = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(content, bytes):
        raise ValueError(f"its column {columns.image} does not hold the bytes of image files")
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise ValueError(f"its column {columns.label} does not hold one label per row")
    return Row(content, label)


def read_split(path: Path) -> Split:
    """Reads labelled images of equal size and form from a Parquet file and its further shards.

    Args:
        path: the first or only file.

    Returns:
        Images uint8 (N, 1 or 3, height, width) and labels int64 (N,).

    Raises:
        ValueError: if the file is not such a file, is too large, or a label is not a whole number.
    """
    images: list[np.ndarray] = []
    labels = []
    for number, (content, label) in enumerate(read_rows(path)):
        if not isinstance(label, int):
            raise ValueError(f"row {number} has the label {label[:40]!r}, not a whole number")
        image = pixels_of(open_image(content))
        if images and image.shape != images[0].shape:
            raise ValueError(f"row {number} has an image {image.shape}, not {images[0].shape}")
        images.append(image)
        labels.append(label)
    if not images:
        raise ValueError("it has no rows")
    return Split(np.stack(images), np.array(labels, np.int64))
