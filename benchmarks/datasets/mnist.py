"""Reads MNIST: 28×28 grey digits (LeCun, Bottou, Bengio, Haffner 1998), stored as idx files.

It has 60,000 training and 10,000 test images. Keras's `mnist.npz` and hubs' Parquet files are read
too.
"""

from __future__ import annotations

import math
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import standin
from benchmarks.datasets.array_files import read_arrays, to_labels, to_pixels
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.image_dataset import ImageDataset, join_parts
from benchmarks.datasets.packed_files import open_unpacked
from benchmarks.datasets.parquet_files import HUB_FILES, read_split
from benchmarks.datasets.task_data import Split

MAX_SAMPLES = 600_000
"""Largest number of samples; a file whose header claims more is refused before it is read."""


def read_idx(path: Path) -> np.ndarray:
    """Reads an idx file of images or labels.

    The header is big-endian: two zero bytes, the type (8: unsigned byte), the number of axes, and
    the length of each axis.

    Args:
        path: the file, packed or not.

    Returns:
        uint8, (N, 28, 28) for images or (N,) for labels.

    Raises:
        ValueError: if the file is not such an idx file, or its size differs from its header.
    """
    with open_unpacked(path) as stream:
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


def join_arrays(parts: list[np.ndarray]) -> tuple[Split, Split]:
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


def read_keras(path: Path) -> list[Split]:
    """Reads `x_train`, `y_train`, `x_test` and `y_test` from one .npz file.

    Args:
        path: the file.

    Returns:
        The training images and the test images.

    Raises:
        ValueError: if the file has other arrays.
    """
    arrays = read_arrays(path)
    missing = {"x_train", "y_train", "x_test", "y_test"} - arrays.keys()
    if missing:
        raise ValueError(f"it has no array {min(missing)}")
    return [
        Split(to_pixels(arrays[f"x_{part}"])[:, None], to_labels(arrays[f"y_{part}"]))
        for part in ("train", "test")
    ]


_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FOLDERS = (
    "MNIST/raw",
    "MNIST",
    "mnist/raw",
    "mnist",
    ".",
    "raw",
    "MNIST/MNIST/raw",
    "mnist/MNIST/raw",
    "moving_mnist",
    "MovingMNIST",
)
_OTHERS = r"fashion|kmnist|kuzushiji|emnist|qmnist|notmnist|medmnist"
"""Datasets whose files have the names and the format of MNIST's files."""


def _file(part: str, kind: str, md5: str, unpacked_md5: str) -> File:
    """Describes an idx file: unpackers replace a hyphen by a dot, or make a folder per file."""
    name, dotted = f"{part}-{kind}-ubyte", f"{part}.{kind}-ubyte"
    plain = (name, dotted, f"{name}/{name}", f"{dotted}/{dotted}", f"{dotted}/{name}")
    return File(
        f"{name}.gz",
        md5,
        f"{_ADDRESS}{name}.gz",
        other_names=(f"{dotted}.gz", *plain),
        other_md5s=(unpacked_md5,),
    )


IDX = Layout(
    folders=_FOLDERS,
    files=(
        _file(
            "train-images",
            "idx3",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "6bbc9ace898e44ae57da46a324031adb",
        ),
        _file(
            "train-labels",
            "idx1",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "a25bea736e30d166cdddb491f175f624",
        ),
        _file(
            "t10k-images",
            "idx3",
            "9fb629c4189551a2d022fa330f9573f3",
            "2646ac647ad5339dbf082846283269ea",
        ),
        _file(
            "t10k-labels",
            "idx1",
            "ec29112dd5afa0611ce80d1b7f02629c",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    decode=read_idx,
    other_datasets=_OTHERS,
)
KERAS = Layout(
    folders=(".", "mnist", "MNIST", "datasets"), files=(File("mnist.npz"),), decode=read_keras
)
PARQUET = Layout(
    folders=("mnist", "MNIST", "mnist/mnist", "MNIST/mnist", "mnist/data", "MNIST/data"),
    files=HUB_FILES,
    decode=read_split,
    other_datasets=_OTHERS,
)


def join(parts: list[Any]) -> tuple[Split, Split]:
    """Joins the decoded files of each layout to the training and the test images.

    Args:
        parts: four arrays (idx), two splits (Parquet) or one list of two splits (Keras).

    Returns:
        The training images and the test images.
    """
    return join_arrays(parts) if len(parts) == 4 else join_parts(parts)


DATASET = ImageDataset(
    name="mnist",
    column=0,
    shape=(1, 28, 28),
    classes=10,
    samples=(60_000, 10_000),
    layouts=(IDX, KERAS, PARQUET),
    join=join,
    render=partial(standin.handwriting, standin.PENCIL),
    lookalike=(
        r"^(?!.*(fashion|kmnist|kuzushiji|qmnist|notmnist|medmnist|moving|mnist_test_seq|emnist))"
        r".*(mnist|(train|t10k).(images|labels))|emnist.(digits|mnist).*images"
    ),
)
