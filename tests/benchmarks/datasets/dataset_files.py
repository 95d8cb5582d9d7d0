"""Writes small datasets in the formats of the official files."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import scipy.io

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.still_images import StillImages

FOLDERS = {"mnist": "MNIST/raw", "usps": "USPS", "cifar10": "cifar-10-batches-py", "svhn": "SVHN"}
SHAPES = {"mnist": (1, 28, 28), "usps": (1, 16, 16), "cifar10": (3, 32, 32), "svhn": (3, 32, 32)}
BATCHES = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")


def read(name: str, root: Path, train: int | None = None, test: int | None = None) -> StillImages:
    """Reads a dataset without downloads; `train` and `test` are the sizes of a stand-in."""
    dataset = datasets.find(name)
    assert isinstance(dataset, ImageDataset)
    return dataset.read(DataSource(root), train_samples=train, test_samples=test)


def pixels(name: str, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (samples, *SHAPES[name]), np.uint8)


def digits(samples: int) -> np.ndarray:
    return np.arange(samples) % 10


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def libsvm(images: np.ndarray, labels: np.ndarray) -> bytes:
    # Half a step is added, so that rounding down returns the same byte.
    values = ((images.reshape(len(images), -1) + 0.5) / 255 * 2 - 1).clip(-1, 1)
    lines = [
        f"{label + 1} " + " ".join(f"{n}:{v:.6f}" for n, v in enumerate(row, 1))
        for label, row in zip(labels, values, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def batch(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Pickles a CIFAR-10 batch as Python 2 did, with byte strings."""
    data = images.tobytes()
    array = b"".join(
        (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01M" + struct.pack("<H", len(images)) + b"M\x00\x0c\x86",
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R",
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T" + struct.pack("<i", len(data)) + data + b"tb",
        )
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\x00(U\x04data" + array + b"U\x06labels" + numbers + b"u."


def tarball(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def mat(images: np.ndarray, labels: np.ndarray) -> bytes:
    packed = io.BytesIO()
    y = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    content = {"X": images.transpose(2, 3, 1, 0), "y": y}
    scipy.io.savemat(packed, content, do_compression=True)
    return packed.getvalue()


def contents(name: str, train: int = 20, test: int = 10) -> dict[str, bytes]:
    """Returns the bytes of a dataset's files by name; train has seed 0, test has seed 1."""
    a, b = pixels(name, train), pixels(name, test, seed=1)
    if name == "mnist":
        return {
            "train-images-idx3-ubyte.gz": gzip.compress(idx(a[:, 0])),
            "train-labels-idx1-ubyte.gz": gzip.compress(idx(digits(train).astype(np.uint8))),
            "t10k-images-idx3-ubyte.gz": gzip.compress(idx(b[:, 0])),
            "t10k-labels-idx1-ubyte.gz": gzip.compress(idx(digits(test).astype(np.uint8))),
        }
    if name == "usps":
        return {
            "usps.bz2": bz2.compress(libsvm(a, digits(train))),
            "usps.t.bz2": bz2.compress(libsvm(b, digits(test))),
        }
    if name == "svhn":
        return {
            "train_32x32.mat": mat(a, digits(train)),
            "test_32x32.mat": mat(b, digits(test)),
        }
    fifths = np.split(np.arange(train), 5)
    parts = [batch(a[rows], digits(train)[rows]) for rows in fifths]
    return dict(zip(BATCHES, [*parts, batch(b, digits(test))], strict=True))


def write(name: str, root: Path, **sizes: int) -> Path:
    """Writes the files of a dataset into a folder below `root`, and returns this folder."""
    folder = root / FOLDERS[name]
    folder.mkdir(parents=True)
    for file, content in contents(name, **sizes).items():
        (folder / file).write_bytes(content)
    return folder
