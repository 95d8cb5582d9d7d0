"""Finds the folders that hold the files of a dataset, and downloads the files that are missing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.datasets.data_files import File, Layout, Place
from benchmarks.records.errors import InputError

PROBE_SECONDS = 6.0
"""Seconds that a host may take to answer; after that it counts as unreachable."""
RETRIES = 2
"""How often a failed download is retried."""


class UnavailableError(Exception):
    """Reports that files are neither on disk nor downloaded; the message says why."""


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
