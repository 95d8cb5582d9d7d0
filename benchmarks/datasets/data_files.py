"""Describes the files of a dataset, reads them, and explains files that cannot be read."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.datasets.own_files import OWN_FOLDER
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RECORD
from benchmarks.records.record import DataState

SEARCHED, DEPTH = 20_000, 4
"""Number of files and folders, and depth of folders, that a search for look-alikes covers."""
_DATA = re.compile(
    r"(^|/)[^./]+$|[^/]\.(7z|arff|bin|bmp|bz2|csv|gz|h5|hdf5|idx\d?.ubyte|jpe?g|mat|np[yz]|parquet"
    r"|pickle|pkl|png|pth?|rar|t|tar|test|tgz|tfrecord|train|txt|xz|zip)$",
    re.IGNORECASE,
)
"""Paths of files that may hold the data of a dataset: without an ending, or with one of these."""

T = TypeVar("T")
_log = logging.getLogger(__name__)
READ_LOCK = threading.Lock()
"""Is locked while files are searched, downloaded or read, so that one thread does it at a time."""


@dataclass(frozen=True)
class File:
    """Describes one file of a dataset."""

    name: str
    """The official name, under which the file is downloaded."""
    md5: str | None = None
    """The published checksum; None: it is not known, and the data counts as unofficial."""
    url: str | None = None
    """The official address; None: the file cannot be downloaded."""
    other_names: tuple[str, ...] = ()
    """Further names that the file may have, in the order of search; with `*`, patterns."""
    other_md5s: tuple[str, ...] = ()
    """Checksums of the same content, such as that of the file after unpacking."""

    def matches(self, path: Path) -> bool:
        """Returns whether a file has a published checksum; without a checksum, it always does.

        Args:
            path: the file on disk.
        """
        return self.md5 is None or _md5(path) in (self.md5, *self.other_md5s)

    def find(self, folder: Path) -> Path | None:
        """Finds the file in a folder.

        Args:
            folder: the folder.

        Returns:
            The path of the file, under the first of its names that is in use; None if there is no
            such file.
        """
        for name in (self.name, *self.other_names):
            paths = sorted(folder.glob(name)) if "*" in name else [folder / name]
            for path in paths:
                if os.path.isfile(path):
                    return path
        return None


@dataclass(frozen=True)
class Layout:
    """Describes one way in which the files of a dataset may be stored."""

    folders: tuple[str, ...]
    """Folders to search, in this order, relative to the data folder; downloads go to the first."""
    files: tuple[File, ...]
    decode: Callable[[Path], Any]
    """Reads one file; an exception means that the file cannot be read."""
    other_datasets: str = "(?!)"
    """A regular expression of names of other datasets, whose files have the same names. A folder is
    not searched if its path, from the name of the data folder on, contains such a name."""
    remedy: str = (
        "replace it with a complete copy of the official file, or delete it, and it is downloaded "
        "again."
    )
    """What to do about a file that cannot be read."""


@dataclass(frozen=True)
class Place:
    """Finds and reads the files of a layout in one folder, where some or all may be missing."""

    layout: Layout
    folder: Path

    @property
    def missing(self) -> tuple[File, ...]:
        """Returns the files of the layout that are not in the folder."""
        return tuple(f for f in self.layout.files if f.find(self.folder) is None)

    @property
    def staging(self) -> Path:
        """Returns the path of the hidden folder for finished downloads until all files are there.

        It is a subfolder of `folder`, so that it is on the same disk even if `folder` is a link or
        a mount. After a failed download the folder is kept for the next attempt.
        """
        return self.folder / f".{self.layout.files[0].name}.download"

    def official(self) -> bool:
        """Returns whether all files of the layout have published checksums, and match them."""
        return all(f.md5 and f.matches(self._path(f)) for f in self.layout.files)

    def decoded(self) -> list[Any]:
        """Reads all files of the layout.

        Returns:
            What `layout.decode` returns for each file, in the order of `layout.files`.

        Raises:
            InputError: if a file cannot be read.
        """
        return [self._decode(self._path(f)) for f in self.layout.files]

    def _path(self, file: File) -> Path:
        return file.find(self.folder) or self.folder / file.name

    def _decode(self, path: Path) -> Any:
        with explain_read_errors(path, self.layout.remedy):
            return self.layout.decode(path)


@contextlib.contextmanager
def explain_read_errors(path: Path, remedy: str) -> Iterator[None]:
    """Converts any exception in the context to an InputError that names the file.

    All exceptions are caught, because a parser may raise any exception for a damaged file.

    Args:
        path: the file, or the folder of the files, that is read in the context.
        remedy: what to do about a file that cannot be read.

    Raises:
        InputError: if the context raises an exception.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}): {remedy}") from error


def read_first(places: Sequence[Place], read: Callable[[Place], T]) -> T:
    """Reads the first folder whose files can be read.

    If an earlier folder has a damaged file, a warning names this file.

    Args:
        places: the folders, one or more, in the order of preference.
        read: reads the files of one folder.

    Returns:
        What `read` returns.

    Raises:
        InputError: if the files of no folder can be read; it names the damaged file of the first.
    """
    faults: list[InputError] = []
    for place in places:
        try:
            found = read(place)
        except InputError as fault:
            faults.append(fault)
            continue
        for damaged in faults:
            _log.warning("%s Until then, the files in %s are used.", damaged, place.folder)
        return found
    raise faults[0]


def find_lookalike(root: Path, pattern: str) -> Path | None:
    """Searches a data folder for a file that looks like one of a dataset.

    The search ends after `SEARCHED` files or folders, and does not go deeper than `DEPTH` folders.
    Hidden files, the user's own datasets, results, and files that hold no data are left out.

    Args:
        root: the folder of the datasets.
        pattern: a regular expression, which is searched in the path of each file, relative to the
            data folder, regardless of case.

    Returns:
        The path of the first such file in alphabetical order of folders; None if there is none.
    """
    looked = 0
    for folder, folders, names in os.walk(root):
        inner = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if name[0] != "." and name != OWN_FOLDER)
        if len(inner.parts) >= DEPTH:
            folders.clear()
        looked += len(folders) + len(names)
        if {RECORD, "sweep.json"} & set(names):  # results, whose names contain datasets'
            folders.clear()
            continue
        for name in sorted(names):
            path = (inner / name).as_posix()
            if _DATA.search(path) and re.search(pattern, path, re.IGNORECASE):
                return root / path
        if looked > SEARCHED:
            break
    return None


def require_no_lookalike(
    name: str, root: Path, pattern: str, official: str, reason: Exception
) -> None:
    """Checks that no file in the data folder looks like a dataset that was not found.

    Args:
        name: the name of the dataset.
        root: the folder of the datasets.
        pattern: a regular expression of paths that look like the dataset.
        official: which files go where, as `FILES into FOLDER`.
        reason: why the dataset is not downloaded.

    Raises:
        InputError: if there is such a file; it names the file.
    """
    found = find_lookalike(root, pattern)
    if found is not None:
        raise InputError(
            f"{found} looks like a file of {name}, but its format is not read, and {name} is "
            f"not found elsewhere ({reason}): put {official}, or move this file out of the data "
            "folder to go on without it"
        )


def state_of(place: Place, *, partial: bool) -> DataState:
    """Determines the state of data that was read from files.

    Args:
        place: the folder of the files.
        partial: whether there are fewer samples than published.

    Returns:
        `partial`, or otherwise `official` or `unofficial`, by the checksums of the files.
    """
    if partial:
        return DataState.partial
    return DataState.official if place.official() else DataState.unofficial


def fingerprint_of(arrays: Iterable[np.ndarray]) -> str:
    """Computes the SHA-256 of arrays: of dtype, shape and bytes in C order.

    Args:
        arrays: the arrays; rows are read in chunks, so that mapped files need little memory.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, len(array), 1000):
            digest.update(np.ascontiguousarray(array[start : start + 1000]).data)
    return digest.hexdigest()


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
