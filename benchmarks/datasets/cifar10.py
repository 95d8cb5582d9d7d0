"""Reads CIFAR-10: 32×32 colour images of ten classes (Krizhevsky 2009), stored as pickles.

It has 50,000 training and 10,000 test images. The binary version and hubs' Parquet files are read
too.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.datasets import standin
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.packed_files import Bounded, open_unpacked, read_bounded
from benchmarks.datasets.parquet_files import HUB_FILES, read_split
from benchmarks.datasets.task_data import Split

MAX_BYTES = 64 << 20
"""Largest size of a batch in bytes. An official batch has 31 MB."""
MAX_ARCHIVE_BYTES = 8 * MAX_BYTES
"""Largest size of an unpacked archive in bytes; it has six batches."""

BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")
_PARENTS = ("", "cifar10/", "CIFAR10/", "cifar-10/", "cifar-10-python/", "cifar-10-binary/")


def read_batch(path: Path) -> Split:
    """Reads one batch file.

    Args:
        path: the file.

    Returns:
        The images and labels of the batch.

    Raises:
        ValueError: if the file is not such a batch or is too large.
        UnpicklingError: if the file is not a pickle or asks for other code.
    """
    with path.open("rb") as stream:
        return parse_batch(read_bounded(stream, MAX_BYTES))


def read_archive(path: Path) -> list[Split]:
    """Reads the six batches from the archive; no file is written.

    Args:
        path: the `.tar.gz` file; it may be unpacked to a `.tar` file.

    Returns:
        The five training batches and the test batch, in the order of `BATCHES`.

    Raises:
        ValueError: if a batch is missing, is not such a batch, or the archive is too large.
    """
    found: dict[str, Split] = {}
    with (
        open_unpacked(path) as stream,
        tarfile.open(fileobj=Bounded(stream, MAX_ARCHIVE_BYTES), mode="r|") as tar,
    ):
        for entry in tar:
            tarfile.data_filter(entry, ".")
            name = entry.name.rpartition("/")[2].removesuffix(".bin")
            if name in BATCHES and entry.isreg():
                content = tar.extractfile(entry)
                assert content is not None
                found[name] = parse_batch(read_bounded(content, MAX_BYTES))
    missing = [name for name in BATCHES if name not in found]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    return [found[name] for name in BATCHES]


def parse_batch(content: bytes) -> Split:
    """Parses a batch, which is a pickle or, in the binary version, rows of a label and an image.

    The pickle is a dictionary of `data`, uint8 (N, 3072), and N `labels`, a list or an array. A row
    of `data` has the red, the green and the blue plane of an image. Only the names that a pickled
    array needs are unpickled, so that a hostile file can run no code.

    Args:
        content: the bytes of the file.

    Returns:
        Images uint8 (N, 3, 32, 32) and labels int64 (N,).

    Raises:
        ValueError: if the content is not such a dictionary.
        UnpicklingError: if the content is not a pickle or asks for other names.
    """
    if content[:1] <= b"\x09" and content and len(content) % 3073 == 0:  # no pickle begins so
        rows = np.frombuffer(bytearray(content), np.uint8).reshape(-1, 3073)
        images = np.ascontiguousarray(rows[:, 1:]).reshape(-1, 3, 32, 32)
        return Split(images, rows[:, 0].astype(np.int64))
    # The unpickler allocates memory up to the largest memo index before it checks anything.
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and int(argument or 0) > 1 << 20:
            raise ValueError("it claims too large a memo")
    entries = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    if not isinstance(entries, dict):
        raise ValueError("it holds no dictionary")
    named = {_text(key): value for key, value in entries.items()}
    pixels, labels = named.get("data"), named.get("labels")
    if isinstance(labels, _Array):
        labels = labels.numbers()
    if not isinstance(pixels, _Array) or not isinstance(labels, list | np.ndarray):
        raise ValueError("it lacks the entries data and labels, of an array and its classes")
    return Split(pixels.images(), np.array(labels, np.int64))


class _Array:
    """Holds the state of a pickled NumPy array, which is unpickled without NumPy's code."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state

    def images(self) -> np.ndarray:
        """Returns the images, uint8 (N, 3, 32, 32)."""
        samples = len(self.data) // 3072
        if self.shape != (samples, 3072) or self.fortran or self.dtype.code != "u1":
            raise ValueError(f"its data are {self.dtype.code} {self.shape}, not u1 (N, 3072)")
        return np.frombuffer(bytearray(self.data), np.uint8).reshape(samples, 3, 32, 32)

    def numbers(self) -> np.ndarray:
        """Returns a list of whole numbers, int64 (N,)."""
        if self.dtype.code not in ("u1", "i4", "i8") or len(self.shape) != 1:
            raise ValueError(f"its labels are {self.dtype.code} {self.shape}")
        return np.frombuffer(bytearray(self.data), f"<{self.dtype.code}").astype(np.int64)


class _Dtype:
    """Holds the code of a pickled NumPy dtype, such as `u1`."""

    def __init__(self, code: bytes | str, *_: Any) -> None:
        self.code = _text(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Refuses numbers in the big-endian order; the rest of the state has no effect."""
        if _text(state[1]) == ">":
            raise pickle.UnpicklingError("its numbers are big-endian")


def _encode(text: str, encoding: bytes | str) -> bytes:
    """Encodes a text as bytes: Python 3 pickles bytes for Python 2 as a call of this function."""
    if _text(encoding) != "latin1":
        raise pickle.UnpicklingError("it asks for an unexpected encoding")
    return text.encode("latin1")


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    """Makes an array from its bytes, as protocol 5 of pickles stores it."""
    array = _Array()
    array.__setstate__((1, shape, dtype, order != "C", data))
    return array


class _Unpickler(pickle.Unpickler):
    """Unpickles only the names that a pickled array needs, as harmless replacements."""

    replacements: ClassVar[dict[tuple[str, str], Callable[..., Any]]] = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
        ("numpy.core.numeric", "_frombuffer"): _from_buffer,
        ("numpy._core.numeric", "_frombuffer"): _from_buffer,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self.replacements:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return self.replacements[module, name]


def _text(value: bytes | str) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


def join_batches(parts: list[Any]) -> tuple[Split, Split]:
    """Joins the decoded files of each layout to the training and the test images.

    Args:
        parts: the six batches, a list of one list of them (from the archive), or the training and
            the test images (Parquet).

    Returns:
        The training images and the test images.
    """
    *train, test = parts[0] if isinstance(parts[0], list) else parts
    images = np.concatenate([b.images for b in train])
    return Split(images, np.concatenate([b.labels for b in train])), test


DATASET = ImageDataset(
    name="cifar10",
    column=3,
    shape=(3, 32, 32),
    classes=10,
    class_names=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    samples=(50_000, 10_000),
    layouts=(
        Layout(
            folders=(".", "cifar10", "CIFAR10", "cifar-10", "cifar-10-python", *_FOLDERS),
            files=(
                File(
                    "cifar-10-python.tar.gz",
                    "c58f30108f718f92721af3b95e74349a",
                    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    other_names=tuple(
                        f"{name}.{end}"
                        for name in ("cifar-10-python", "cifar-10-binary", *_FOLDERS)
                        for end in ("tar.gz", "tar", "tgz")
                    ),
                ),
            ),
            decode=read_archive,
        ),
        Layout(
            folders=(*(f"{parent}{name}" for name in _FOLDERS for parent in _PARENTS), "."),
            files=tuple(
                File(name, md5, other_names=(f"{name}.bin",)) for name, md5 in BATCHES.items()
            ),
            decode=read_batch,
        ),
        Layout(
            folders=("cifar10/plain_text", "plain_text", "cifar10", "CIFAR10", "cifar-10"),
            files=HUB_FILES,
            decode=read_split,
        ),
    ),
    join=join_batches,
    render=standin.textured_shapes,
    lookalike=r"cifar.?10(?!0)|(^|/)(data_batch_[1-5]|test_batch)",
)
