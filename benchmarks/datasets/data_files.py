"""Finds the files of a dataset, downloads missing files, and explains files that cannot be read."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from benchmarks.datasets import OWN_FOLDER
from benchmarks.records.errors import InputError

PROBE_SECONDS = 6.0
"""Seconds that a host may take to answer; after that it counts as unreachable."""
RETRIES = 2
"""How often a failed download is retried."""
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


class UnavailableError(Exception):
    """Reports that files are neither on disk nor downloaded; the message says why."""


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


def find_or_download(layouts: Sequence[Layout], root: Path, *, download: bool) -> list[Place]:
    """Finds the folders that have all files of a layout; downloads missing files if there is none.

    Args:
        layouts: the ways in which the files may be stored, in the order of preference.
        root: the folder of the datasets.
        download: whether missing files may be downloaded.

    Returns:
        The folders with all files of a layout, one or more, in the order of preference. Downloads
        complete a folder that has some of the files, if the addresses of the missing ones are
        known; otherwise they go to the first folder.

    Raises:
        UnavailableError: if no file is on disk, and the files cannot be downloaded.
        InputError: if only some files are on disk, and the others cannot be downloaded.
    """
    lock = root / ".download.lock"
    places = _places(layouts, root)
    for place in places:
        _finish_move(place, lock)
    complete = [place for place in places if not place.missing]
    if complete:
        return complete
    part = next((p for p in places if len(p.missing) < len(p.layout.files)), None)
    reason = "downloads are off, as with --offline or profile smoke"
    if download:
        target = part if part is not None and _has_addresses(part) else places[0]
        try:
            download_missing(target, lock=lock)
            return [target]
        except UnavailableError as error:
            reason = str(error)
    if part is not None:
        raise InputError(
            f"{part.folder / part.missing[0].name} is missing, but other files of the dataset are "
            f"in the folder ({reason}): add the missing file, or remove the other files."
        )
    raise UnavailableError(reason)


def _places(layouts: Sequence[Layout], root: Path) -> list[Place]:
    return [
        Place(layout, root / folder)
        for layout in layouts
        for folder in layout.folders
        if not re.search(layout.other_datasets, f"{root.name}/{folder}", re.IGNORECASE)
    ]


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
        if {"record.json", "sweep.json"} & set(names):  # results, whose names contain datasets'
            folders.clear()
            continue
        for name in sorted(names):
            path = (inner / name).as_posix()
            if _DATA.search(path) and re.search(pattern, path, re.IGNORECASE):
                return root / path
        if looked > SEARCHED:
            break
    return None


def download_missing(place: Place, *, lock: Path) -> None:
    """Downloads the missing files of a folder; other processes wait.

    Files are downloaded to the staging folder, and moved to their folder only after all of them
    are complete and match their checksums. Files from an earlier attempt are not downloaded again.

    Args:
        place: the folder and the layout.
        lock: the file that processes lock while they download.

    Raises:
        UnavailableError: if an address is not known, a host does not answer, or a download fails.
    """
    import filelock
    import pooch
    import requests

    if not _has_addresses(place):
        raise UnavailableError("no address to download it from is known")
    for file in place.missing:
        host = urlsplit(file.url or "")
        if not _is_staged(place, file) and not _answers(f"{host.scheme}://{host.netloc}/"):
            raise UnavailableError(f"{host.hostname} does not answer")
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=(5, 30)
    )
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock):
            for file in place.missing:
                store = pooch.create(
                    path=place.staging,
                    base_url="",
                    registry={file.name: file.md5 and f"md5:{file.md5}"},
                    urls={file.name: file.url},
                    retry_if_failed=RETRIES,
                )
                store.fetch(file.name, downloader=downloader)
            _move(place)
    except (OSError, ValueError, requests.RequestException) as error:
        raise UnavailableError(f"download failed: {' '.join(str(error).split())[:200]}") from error


def _finish_move(place: Place, lock: Path) -> None:
    """Moves files from the staging folder if all missing files are there, after an interruption.

    This needs no network, so it is done even if downloads are off.
    """
    missing = place.missing
    if missing and all(_is_staged(place, file) for file in missing):
        import filelock

        # In a read-only folder the files stay missing, and the caller reports this.
        with contextlib.suppress(OSError), filelock.FileLock(lock):
            _move(place)


def _move(place: Place) -> None:
    """Moves all missing files from the staging folder; moves none if a checksum does not match.

    The caller holds the lock. All files are flushed to the disk before the first is moved. After an
    interruption or a power failure, `_finish_move` therefore finds the rest in the staging folder.
    """
    missing = place.missing
    for file in missing:
        path = place.staging / file.name
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        if not file.matches(path):
            return
    for file in missing:
        os.replace(place.staging / file.name, place.folder / file.name)
    shutil.rmtree(place.staging, ignore_errors=True)


def _has_addresses(place: Place) -> bool:
    return all(file.url for file in place.missing)


def _is_staged(place: Place, file: File) -> bool:
    return os.path.isfile(place.staging / file.name)


@cache
def _answers(address: str) -> bool:
    """Returns whether a host answers within `PROBE_SECONDS`; each process asks a host once.

    The request runs in a thread, because its own timeout covers neither name look-ups nor hosts
    with several dead addresses.
    """
    import requests

    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.head(address, timeout=PROBE_SECONDS)
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answered.is_set()


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
