"""Reads arrays from NumPy's files (.npy, .npz) and from HDF5 files; no file can run code.

Each reader compares the size that a file claims with a limit before it allocates memory.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

NPY, ZIP, HDF5 = b"\x93NUMPY", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
"""First bytes of the formats. In a MATLAB 7.3 file, those of HDF5 are at byte 512."""
MAX_BYTES = 8 << 30
"""Largest size of one array in bytes; a file that claims more is refused before it is read."""
_HDF5_OFFSETS = (0, 512)
_CHUNK = 1000


def is_hdf5(path: Path) -> bool:
    """Returns whether a file begins as an HDF5 file, or as a MATLAB 7.3 file, does."""
    with path.open("rb") as stream:
        start = stream.read(max(_HDF5_OFFSETS) + len(HDF5))
    return any(start.startswith(HDF5, offset) for offset in _HDF5_OFFSETS)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file, or the one array of an .npy file; content decides which.

    Args:
        path: the file.

    Returns:
        The arrays by name; the array of an .npy file has the name ``.

    Raises:
        ValueError: if the file is neither, an array holds objects, or is larger than `MAX_BYTES`.
    """
    with path.open("rb") as stream:
        start = stream.read(len(NPY))
        stream.seek(0)
        if start == NPY:
            return {"": _read_npy(stream)}
    if not start.startswith(ZIP):
        raise ValueError("it is no file of NumPy arrays (.npy or .npz)")
    with zipfile.ZipFile(path) as archive:
        found = {}
        for entry in archive.infolist():
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as stream:
                    found[entry.filename.removesuffix(".npy")] = _read_npy(stream)
    if not found:
        raise ValueError("it is a zip archive without arrays")
    return found


def unread_note(arrays: Iterable[str], read: Iterable[str]) -> list[str]:
    """Writes the note on arrays of a file that were not read; none if all were.

    Args:
        arrays: the names of all arrays.
        read: the names of those that were read.
    """
    others = sorted({*arrays} - {*read})
    return [f"Left out: the arrays {', '.join(others)[:100]}."] if others else []


def _read_npy(stream: IO[bytes]) -> np.ndarray:
    read = np.lib.format.read_array_header_1_0
    if np.lib.format.read_magic(stream) != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    size = math.prod(shape) * dtype.itemsize
    _require_size(shape, dtype)
    body = stream.read(size + 1)
    if len(body) != size:
        raise ValueError(
            f"it is {'shorter' if len(body) < size else 'longer'} than its header says"
        )
    flat = np.frombuffer(bytearray(body), dtype)
    return flat.reshape(shape, order="F" if columns_first else "C")


def _require_size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if math.prod(shape) * dtype.itemsize > MAX_BYTES:
        raise ValueError(f"it claims {dtype} {shape}, which is more than {MAX_BYTES >> 30} GiB")


def read_hdf5(path: Path, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Reads arrays of an HDF5 file.

    Args:
        path: the file.
        names: the paths of the arrays in the file, by the name under which to return them.

    Returns:
        The arrays by the keys of `names`.

    Raises:
        ValueError: if an array is missing, is not numeric, is larger than `MAX_BYTES`, or is
            stored in another file.
    """
    import h5py

    with h5py.File(path, "r") as file:
        return {key: _hdf5_array(file, name) for key, name in names.items()}


def _hdf5_array(file: Any, name: str) -> np.ndarray:
    import h5py

    found = file
    for part in name.split("/"):
        # Links may lead to any file that the user can read.
        if not isinstance(found, h5py.Group) or not isinstance(
            found.get(part, getlink=True), h5py.HardLink
        ):
            raise ValueError(f"it has no array {name}")
        found = found[part]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biuf":
        raise ValueError(f"its {name} is no array of numbers")
    if found.external or found.is_virtual:
        raise ValueError(f"its {name} is stored in another file")
    _require_size(found.shape, found.dtype)
    return np.asarray(found[()])


def to_pixels(array: np.ndarray) -> np.ndarray:
    """Converts numbers to bytes of pixels.

    Args:
        array: uint8; bool; whole numbers of 0 to 255; or floats, of 0 to 1, or whole of 0 to 255.

    Returns:
        uint8 of the same shape: `array` itself if it is uint8, otherwise a copy in C order. Floats
        of 0 to 1 are multiplied by 255 and rounded.

    Raises:
        ValueError: if the numbers are others.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"its pixels are {array.dtype}, not numbers")
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if not (low >= 0 and high <= 255):  # NaN too
        raise ValueError(f"its pixels are of {low:g} to {high:g}, not of 0 to 1 or 0 to 255")
    if high <= 1 and array.dtype.kind in "iu" and high > low:
        raise ValueError(
            "its pixels are the whole numbers 0 and 1: store them as bool, or multiply them by 255"
        )
    scale = 255.0 if array.dtype.kind == "b" or (array.dtype.kind == "f" and high <= 1) else 1.0
    pixels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), _CHUNK):
        part = array[start : start + _CHUNK].astype(np.float64) * scale
        rounded = np.rint(part)
        if scale == 1.0 and (rounded != part).any():
            raise ValueError("its pixels are fractions of 0 to 255: round them, or divide by 255")
        pixels[start : start + _CHUNK] = rounded
    return pixels


def to_labels(array: np.ndarray) -> np.ndarray:
    """Converts an array of one whole number per sample to labels.

    Args:
        array: (N,), (N, 1) or (1, N) of whole numbers, in any numeric type.

    Returns:
        int64 (N,).

    Raises:
        ValueError: if the array has another shape or holds other values.
    """
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or array.size != max(array.shape):
        raise ValueError(f"its labels are {array.dtype} {array.shape}, not one number per sample")
    flat = array.reshape(-1)
    if flat.dtype.kind == "f" and not (np.abs(flat) < 2**53).all():
        raise ValueError("its labels are not whole numbers")
    labels = flat.astype(np.int64)
    if (labels != flat).any():
        raise ValueError("its labels are not whole numbers")
    return labels
