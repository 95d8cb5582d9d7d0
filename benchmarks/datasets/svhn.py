"""Reads SVHN: 32×32 coloured digits of house numbers (Netzer et al. 2011), as MATLAB files.

It has 73,257 training and 26,032 test images. The authors allow non-commercial use only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.datasets import standin
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.still_images import ImageDataset
from benchmarks.datasets.task_data import Split

MAX_SAMPLES = 600_000
"""Largest number of samples; a file that claims more is refused before it is read. The authors'
largest file, `extra`, has 531,131 samples."""


def read_mat(path: Path) -> Split:
    """Reads a MATLAB file of `X`, uint8 (32, 32, 3, N), and `y`, (N, 1) with 10 for the digit 0.

    Args:
        path: the file.

    Returns:
        Images uint8 (N, 3, 32, 32) and labels int64 (N,), from 0 to 9.

    Raises:
        ValueError: if the file has other arrays or too many samples.
    """
    from scipy.io import loadmat, whosmat

    declared = {name: (shape, kind) for name, shape, kind in whosmat(path)}
    (*image, samples), kind = declared.get("X", ((0,), "missing"))
    if image != [32, 32, 3] or kind != "uint8" or samples > MAX_SAMPLES:
        raise ValueError(f"its X is {kind} {(*image, samples)}, not uint8 (32, 32, 3, N)")
    shape, kind = declared.get("y", ((), "missing"))
    if shape != (samples, 1) or kind not in ("uint8", "double"):
        raise ValueError(f"its y is {kind} {shape}, not uint8 ({samples}, 1)")
    content = loadmat(path, variable_names=("X", "y"))
    labels = content["y"][:, 0].astype(np.int64)
    labels[labels == 10] = 0
    return Split(np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1)), labels)


_ADDRESS = "http://ufldl.stanford.edu/housenumbers/"

DATASET = ImageDataset(
    name="svhn",
    column=4,
    shape=(3, 32, 32),
    classes=10,
    samples=(73_257, 26_032),
    layouts=(
        Layout(
            folders=("SVHN", "svhn", "."),
            files=tuple(
                File(name, md5, _ADDRESS + name)
                for name, md5 in {
                    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
                    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
                }.items()
            ),
            decode=read_mat,
        ),
    ),
    render=standin.house_numbers,
)
