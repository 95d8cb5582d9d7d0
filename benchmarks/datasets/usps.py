"""Reads USPS: 16×16 grey digits from envelopes (Hull 1994), stored as bz2 files of libsvm text.

It has 7,291 training and 2,007 test images.
"""

from __future__ import annotations

import bz2
import io
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.datasets import standin
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.still_images import ImageDataset
from benchmarks.datasets.task_data import Split

MAX_BYTES = 128 << 20
"""Largest size of a file after unpacking, in bytes; the official training file has 14 MB."""


def read_libsvm(path: Path) -> Split:
    """Reads lines of `label 1:value … 256:value`, with labels 1 to 10 for the digits 0 to 9.

    Values in [-1, 1] are converted to bytes as in torchvision: (value + 1) / 2 · 255, rounded down.

    Args:
        path: the bz2 file.

    Returns:
        Images uint8 (N, 1, 16, 16) and labels int64 (N,), from 0 to 9.

    Raises:
        ValueError: if the lines have another format, or the text is too long.
    """
    with bz2.open(path) as stream:
        text = stream.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_BYTES >> 20} MiB")
    if not text.strip():
        raise ValueError("it is empty")
    table = np.loadtxt(
        io.BytesIO(text.replace(b":", b" ")), dtype=np.float32, comments=None, ndmin=2
    )
    labels, numbers, values = table[:, 0], table[:, 1::2], table[:, 2::2]
    if table.shape[1] != 513 or (numbers != np.arange(1, 257)).any():
        raise ValueError("its lines do not have the values 1 to 256")
    if not (np.abs(values) <= 1).all() or not np.isin(labels, np.arange(1, 11)).all():
        raise ValueError("its values are not all in [-1, 1] or its labels not in 1..10")
    pixels = ((values + 1) / 2 * 255).astype(np.uint8)
    return Split(pixels.reshape(-1, 1, 16, 16), labels.astype(np.int64) - 1)


_ADDRESS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"

DATASET = ImageDataset(
    name="usps",
    column=2,
    shape=(1, 16, 16),
    classes=10,
    samples=(7_291, 2_007),
    layouts=(
        Layout(
            folders=("USPS", "usps", "USPS/raw", "."),
            files=(
                File("usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197", _ADDRESS + "usps.bz2"),
                File("usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118", _ADDRESS + "usps.t.bz2"),
            ),
            decode=read_libsvm,
        ),
    ),
    render=partial(standin.handwriting, standin.MARKER),
)
