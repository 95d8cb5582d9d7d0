"""Where a dataset's files lie, how missing ones are downloaded, and how a bad one is told of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.records.errors import InputError

PROBE_SECONDS = 6.0
"""How long a host may take to answer at all before it counts as out of reach."""
RETRIES = 2


@dataclass(frozen=True)
class File:
    """One file of a distribution."""

    name: str
    md5: str | None = None
    """The published checksum; None: none is known, and the data counts as unofficial."""
    url: str | None = None
    """Its official address; None: it is not downloaded."""

    def matches(self, path: Path) -> bool:
        """Whether the file at a path has the published checksum, if there is one."""
        return self.md5 is None or _md5(path) == self.md5


@dataclass(frozen=True)
class Layout:
    """One way in which a dataset's files may lie on disk."""

    folders: tuple[str, ...]
    """Looked in, in this order, relative to the data root; downloads go to the first."""
    files: tuple[File, ...]
    decode: Callable[[Path], Any]
    """Reads one file; whatever it raises means that the file is bad."""


@dataclass(frozen=True)
class Place:
    """A folder that holds a layout's files, all or some of them."""

    layout: Layout
    folder: Path

    @property
    def missing(self) -> tuple[File, ...]:
        return tuple(f for f in self.layout.files if not os.path.isfile(self.folder / f.name))

    @property
    def staging(self) -> Path:
        """Where downloads wait for each other: within the folder, thus on its disk even where it
        is a link or a mount, and hidden. Kept between tries.
        """
        return self.folder / f".{self.layout.files[0].name}.download"

    def official(self) -> bool:
        """Whether every file is, byte for byte, the published one."""
        return all(f.md5 and f.matches(self.folder / f.name) for f in self.layout.files)

    def decoded(self) -> list[Any]:
        """Every file's content, in the layout's order. Raises InputError for a bad file."""
        return [self._decode(self.folder / f.name) for f in self.layout.files]

    def _decode(self, path: Path) -> Any:
        with explain_read_errors(path):
            return self.layout.decode(path)


class UnavailableError(Exception):
    """Neither on disk nor downloaded; the message says why."""


@contextlib.contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turns any exception of reading a file into the one sentence a user can act on.

    Any: what a parser raises on a broken or hostile file is not foreseeable.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        raise InputError(
            f"{path} cannot be read ({reason}): put a whole copy of the official file there, "
            "or delete it to have it downloaded."
        ) from error


def find_or_download(layouts: Sequence[Layout], root: Path, *, download: bool) -> Place:
    """The first place under `root` where a layout is whole, after downloading if need be.

    Raises UnavailableError where nothing is there, InputError where only a part is.
    """
    lock = root / ".download.lock"
    places = [Place(layout, root / folder) for layout in layouts for folder in layout.folders]
    for place in places:
        _finish_move(place, lock)
        if not place.missing:
            return place
    part = next((p for p in places if len(p.missing) < len(p.layout.files)), None)
    reason = "downloads are off"
    if download:
        target = part if part is not None and _has_addresses(part) else places[0]
        try:
            download_missing(target, lock=lock)
            return target
        except UnavailableError as error:
            reason = str(error)
    if part is not None:
        raise InputError(
            f"{part.folder / part.missing[0].name} is missing while its companions are there "
            f"({reason}): put it there, or take the others away."
        )
    raise UnavailableError(reason)


def download_missing(place: Place, *, lock: Path) -> None:
    """Downloads a place's missing files, one process at a time.

    They are moved into their place when the last of them is there and checked, so that no part is
    ever taken for the whole; what an earlier try left waiting is not asked for again. Raises
    UnavailableError.
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
    """Ends a move that was cut between two files; needs no network, so downloads may be off."""
    missing = place.missing
    if missing and all(_is_staged(place, file) for file in missing):
        import filelock

        # What cannot be moved, in a folder one may not write to, stays missing and is told so.
        with contextlib.suppress(OSError), filelock.FileLock(lock):
            _move(place)


def _move(place: Place) -> None:
    """Moves all missing files from where they wait, or none; the lock is the caller's.

    Each is on the disk whole before the first is moved: after a cut, even of power, all that is
    missing still waits, and `_finish_move` moves it.
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
    """Whether a host answers at all; asked once a process.

    In a thread, since neither name look-ups nor a host with many dead addresses can be given one
    time limit.
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
