"""Packs a results folder into an archive for other people, and unpacks archives of other people."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath

from benchmarks.records.atomic_files import replacing
from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import METRICS, RECORD

DATA_PATTERNS = (
    "sweep.json",
    "cells/*.json",
    f"runs/*/{RECORD}",
    f"runs/*/{METRICS}",
    "runs/*/*.png",
    "runs/*/*.gif",
)
"""Files that reports are built from; neither weights nor checkpoints."""
REPORT_PATTERNS = ("report/*", "report/*/*")
"""Files of the report, which `capsbench report` can write again."""
_CACHE = Path("report", "index")
"""A cache from elsewhere would say that the report there is current."""
TOP = "results"
"""Folder that has all files of an archive."""
MOST_FILES = 1_000_000
MOST_BYTES = 16 * 2**30
"""Bounds of what is unpacked, since a small archive can unpack to a full disk."""


def pack(results: Path, archive: Path) -> int:
    """Writes the archive of a results folder, completely or not at all.

    Equal files give equal bytes: the archive has no times and no owners.

    Args:
        results: the results folder of a sweep.
        archive: the `.tar.gz` file; its folder must exist.

    Returns:
        The number of files in the archive.

    Raises:
        InputError: if the folder has no sweep, or the archive cannot be a file.
        OSError: if the archive cannot be written, for instance on a full disk.
    """
    files = list(_files(results))
    if not any(path.parent.name == "cells" for path in files):
        raise InputError(f"{results} holds no sweep to export: name its folder with --results")
    if archive.is_dir() or not archive.parent.is_dir():
        raise InputError(f"{archive} cannot be an archive: name a file, in a folder that is there")
    with (
        replacing(archive) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in files:
            tar.add(path, f"{TOP}/{path.relative_to(results).as_posix()}", filter=_plain)
    return len(files)


def _files(results: Path) -> Iterator[Path]:
    for pattern in DATA_PATTERNS + REPORT_PATTERNS:
        for path in sorted(results.glob(pattern)):
            cached = path.is_relative_to(results / _CACHE)
            if path.is_file() and not path.is_symlink() and not cached:
                yield path


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks what reports are built from; the archive's own report is left out.

    The archive is not trusted: it may have no other file than `pack` writes, no link, and no more
    than `MOST_FILES` files and `MOST_BYTES` bytes.

    Args:
        archive: a file that `pack` wrote.
        folder: an empty folder, which becomes a results folder.

    Raises:
        InputError: if the file is missing, damaged or no such archive.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            _unpack(tar, archive, folder)
    except FileNotFoundError:
        raise InputError(f"{archive} does not exist: name an archive") from None
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{archive} is not a whole archive of `capsbench export` ({printable(str(error))}): "
            "export or copy it again"
        ) from None


def _unpack(tar: tarfile.TarFile, archive: Path, folder: Path) -> None:
    files = size = 0
    for entry in tar:
        files, size = files + 1, size + entry.size
        if files > MOST_FILES or size > MOST_BYTES:
            raise InputError(
                f"{archive} unpacks to more than {MOST_FILES:,} files or {MOST_BYTES >> 30} GiB: "
                "it is not unpacked"
            )
        path = PurePosixPath(entry.name)
        inner = path.relative_to(TOP) if path.parts[:1] == (TOP,) else path
        known = inner != path and _matches(inner, DATA_PATTERNS + REPORT_PATTERNS)
        if not (known and entry.isreg()):
            raise InputError(
                f"{archive} has the entry {printable(entry.name)}, which `capsbench export` does "
                "not write: it is not unpacked"
            )
        if is_data(inner):
            target = folder / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(entry)
            assert content is not None  # the entry is a regular file
            with target.open("xb") as file:
                while block := content.read(1 << 20):
                    file.write(block)


def is_data(path: PurePath) -> bool:
    """Returns whether reports are built from a file.

    Args:
        path: the file's path from the results folder.
    """
    return _matches(path, DATA_PATTERNS)


def _matches(path: PurePath, patterns: tuple[str, ...]) -> bool:
    """Returns whether a path matches a pattern part by part, without going up a folder."""
    return ".." not in path.parts and any(
        len(path.parts) == pattern.count("/") + 1 and path.match(pattern) for pattern in patterns
    )
