"""Reads USPS: 16×16 grey digits from envelopes (Hull 1994), stored as bz2 files of libsvm text.

It has 7,291 training and 2,007 test images. The text files `zip.train` and `zip.test`,
`usps.h5` and hubs' Parquet files are read too.
"""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.datasets import standin
from benchmarks.datasets.array_files import read_hdf5, to_labels
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.packed_files import open_unpacked, read_bounded
from benchmarks.datasets.parquet_files import HUB_FILES, read_split
from benchmarks.datasets.task_data import Split

MAX_BYTES = 128 << 20
"""Largest size of a file after unpacking, in bytes; the official training file has 14 MB."""


def read_text(path: Path) -> Split:
    """Reads lines of one image each, in one of two forms.

    These are libsvm's, `label 1:value … 256:value`, with labels 1 to 10 for the digits 0 to 9, and
    that of `zip.train`, `label value … value`, with labels 0 to 9.

    Args:
        path: the file, packed or not.

    Returns:
        Images uint8 (N, 1, 16, 16) and labels int64 (N,), from 0 to 9.

    Raises:
        ValueError: if the lines have another format, or the text is too long.
    """
    with open_unpacked(path) as stream:
        text = read_bounded(stream, MAX_BYTES)
    if not text.strip():
        raise ValueError("it is empty")
    table = np.loadtxt(
        io.BytesIO(text.replace(b":", b" ")), dtype=np.float32, comments=None, ndmin=2
    )
    labels, values = table[:, 0], table[:, 1:]
    if b":" in text.partition(b"\n")[0]:
        numbers, values, labels = table[:, 1::2], table[:, 2::2], labels - 1
        if table.shape[1] != 513 or (numbers != np.arange(1, 257)).any():
            raise ValueError("its lines do not have the values 1 to 256")
    if values.shape[1] != 256:
        raise ValueError(f"its lines have {values.shape[1]} values, not 256")
    return _split((values + 1) / 2, labels)


def read_h5(path: Path) -> list[Split]:
    """Reads the groups `train` and `test` of an HDF5 file, with `data` (N, 256) and `target` (N,).

    Args:
        path: the file.

    Returns:
        The training images and the test images.

    Raises:
        ValueError: if the file has other arrays.
    """
    names = {f"{p}/{kind}": f"{p}/{kind}" for p in ("train", "test") for kind in ("data", "target")}
    arrays = read_hdf5(path, names)
    splits = []
    for part in ("train", "test"):
        values = arrays[f"{part}/data"]
        if values.shape[1:] not in ((256,), (16, 16)):
            raise ValueError(f"its {part}/data is {values.shape}, not (N, 256)")
        flat = values.reshape(-1, 256).astype(np.float32)
        splits.append(_split(flat, to_labels(arrays[f"{part}/target"])))
    return splits


def _split(values: np.ndarray, labels: np.ndarray) -> Split:
    """Converts values of 0 to 1 to bytes as in torchvision: multiplied by 255, rounded down."""
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("its values are not all in their interval")
    if not np.isin(labels, np.arange(10)).all():
        raise ValueError("its labels are not the ten digits")
    pixels = (values * 255).astype(np.uint8)
    return Split(pixels.reshape(-1, 1, 16, 16), labels.astype(np.int64))


_FOLDERS = ("USPS", "usps", "USPS/raw", ".", "USPS/USPS", "usps/USPS", "raw")
_ADDRESS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"

DATASET = ImageDataset(
    name="usps",
    column=2,
    shape=(1, 16, 16),
    classes=10,
    samples=(7_291, 2_007),
    layouts=(
        Layout(
            folders=_FOLDERS,
            files=(
                File(
                    "usps.bz2",
                    "ec16c51db3855ca6c91edd34d0e9b197",
                    _ADDRESS + "usps.bz2",
                    other_names=("usps", "zip.train.gz", "zip.train"),
                ),
                File(
                    "usps.t.bz2",
                    "8ea070ee2aca1ac39742fdd1ef5ed118",
                    _ADDRESS + "usps.t.bz2",
                    other_names=("usps.t", "zip.test.gz", "zip.test"),
                ),
            ),
            decode=read_text,
        ),
        Layout(folders=_FOLDERS, files=(File("usps.h5"),), decode=read_h5),
        Layout(
            folders=("USPS", "usps", "USPS/data", "usps/data"),
            files=HUB_FILES,
            decode=read_split,
        ),
    ),
    render=partial(standin.handwriting, standin.MARKER),
    lookalike=r"usps|(^|/)zip\.(train|test)",
)
