"""Reads SVHN: 32×32 coloured digits of house numbers (Netzer et al. 2011), as MATLAB files.

It has 73,257 training and 26,032 test images. The authors allow non-commercial use only. MATLAB's
newer format (7.3, HDF5) and hubs' Parquet files are read too.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from benchmarks.datasets import standin
from benchmarks.datasets.array_files import is_hdf5, read_hdf5, to_labels
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.parquet_files import HUB_FILES, read_split
from benchmarks.datasets.task_data import Split

MAX_SAMPLES = 600_000
"""Largest number of samples; a file that claims more is refused before it is read. The authors'
largest file, `extra`, has 531,131 samples."""

_NUMBERS = {"double", "single"} | {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}
"""MATLAB's names of types of numbers."""


def read_mat(path: Path) -> Split:
    """Reads a MATLAB file of `X`, uint8 (32, 32, 3, N), and `y`, (N, 1) with 10 for the digit 0.

    `X` may also be (N, 32, 32, 3), `y` may have another numeric type or shape, and 0 for the
    digit 0.

    Args:
        path: the file, in MATLAB's format 5 or 7.3.

    Returns:
        Images uint8 (N, 3, 32, 32) and labels int64 (N,), from 0 to 9.

    Raises:
        ValueError: if the file has other arrays or too many samples.
    """
    if is_hdf5(path):
        stored = read_hdf5(path, {"X": "X", "y": "y"})
        # HDF5 lists the axes of MATLAB's arrays in reverse order.
        return _split(stored["X"].T, stored["y"].T)
    from scipy.io import loadmat, whosmat

    declared = {name: (shape, kind) for name, shape, kind in whosmat(path)}
    for name in ("X", "y"):
        shape, kind = declared.get(name, ((), "missing"))
        if kind not in _NUMBERS:
            raise ValueError(f"its {name} is {kind}, not an array of numbers")
        _require_size(name, shape)
    content = loadmat(path, variable_names=("X", "y"))
    return _split(content["X"], content["y"])


def _require_size(name: str, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > 3072 * MAX_SAMPLES:
        raise ValueError(f"its {name} is {shape}, which is too large")


def _split(images: np.ndarray, y: np.ndarray) -> Split:
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"its X is {images.dtype} {images.shape}, not uint8 (32, 32, 3, N)")
    if images.shape[:3] == (32, 32, 3):
        images = images.transpose(3, 2, 0, 1)
    elif images.shape[1:] == (32, 32, 3):
        images = images.transpose(0, 3, 1, 2)
    else:
        raise ValueError(f"its X is {images.dtype} {images.shape}, not uint8 (32, 32, 3, N)")
    labels = to_labels(y)
    if (labels == 10).any() and (labels == 0).any():
        raise ValueError("its y has both 0 and 10, which both stand for the digit 0")
    labels[labels == 10] = 0
    return Split(np.ascontiguousarray(images), labels)


_ADDRESS = "http://ufldl.stanford.edu/housenumbers/"

DATASET = ImageDataset(
    name="svhn",
    column=4,
    shape=(3, 32, 32),
    classes=10,
    samples=(73_257, 26_032),
    layouts=(
        Layout(
            folders=("SVHN", "svhn", ".", "SVHN/SVHN", "svhn/SVHN"),
            files=tuple(
                File(name, md5, _ADDRESS + name)
                for name, md5 in {
                    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
                    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
                }.items()
            ),
            decode=read_mat,
        ),
        Layout(
            folders=(
                "cropped_digits",
                "SVHN/cropped_digits",
                "svhn/cropped_digits",
                "SVHN",
                "svhn",
            ),
            files=HUB_FILES,
            decode=read_split,
        ),
    ),
    render=standin.house_numbers,
    lookalike=r"svhn|cropped_digits|full_numbers|(train|test|extra)_32x32",
)
