"""Reads MNIST: 28×28 grey digits (LeCun, Bottou, Bengio, Haffner 1998), stored as idx files.

It has 60,000 training and 10,000 test images.
"""

from __future__ import annotations

import gzip
import math
import struct
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.datasets import standin
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.still_images import ImageDataset
from benchmarks.datasets.task_data import Split

MAX_SAMPLES = 600_000
"""Largest number of samples; a file whose header claims more is refused before it is read."""


def read_idx(path: Path) -> np.ndarray:
    """Reads an idx file of images or labels.

    The header is big-endian: two zero bytes, the type (8: unsigned byte), the number of axes, and
    the length of each axis.

    Args:
        path: the file; it is unpacked if its name ends in `.gz`.

    Returns:
        uint8, (N, 28, 28) for images or (N,) for labels.

    Raises:
        ValueError: if the file is not such an idx file, or its size differs from its header.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        zeros, kind, axes = struct.unpack(">HBB", stream.read(4))
        if (zeros, kind) != (0, 8) or axes not in (1, 3):
            raise ValueError("it is not an idx file of images or labels")
        shape = struct.unpack(f">{axes}I", stream.read(4 * axes))
        if shape[1:] not in ((), (28, 28)) or shape[0] > MAX_SAMPLES:
            raise ValueError(f"its header claims the shape {shape}")
        size = math.prod(shape)
        body = stream.read(size + 1)
    if len(body) != size:
        raise ValueError(
            f"it is {'shorter' if len(body) < size else 'longer'} than its header says"
        )
    return np.frombuffer(bytearray(body), np.uint8).reshape(shape)


def join_splits(parts: list[np.ndarray]) -> tuple[Split, Split]:
    """Joins the contents of the four files to the training and the test images.

    Args:
        parts: training images, training labels, test images, test labels.

    Returns:
        The training images and the test images, each with labels.
    """
    train_images, train_labels, test_images, test_labels = parts
    return (
        Split(train_images[:, None], train_labels.astype(np.int64)),
        Split(test_images[:, None], test_labels.astype(np.int64)),
    )


_FOLDERS = ("MNIST/raw", "MNIST", "mnist/raw", "mnist", ".")
_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/"

GZIPPED = Layout(
    folders=_FOLDERS,
    files=tuple(
        File(name, md5, _ADDRESS + name)
        for name, md5 in {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        }.items()
    ),
    decode=read_idx,
)
# The checksums of the official files after unpacking.
UNPACKED = Layout(
    folders=_FOLDERS,
    files=(
        File("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
        File("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
        File("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
        File("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
    ),
    decode=read_idx,
)

DATASET = ImageDataset(
    name="mnist",
    column=0,
    shape=(1, 28, 28),
    classes=10,
    samples=(60_000, 10_000),
    layouts=(GZIPPED, UNPACKED),
    join=join_splits,
    render=partial(standin.handwriting, standin.PENCIL),
)
