"""A results folder as one archive that `reports` reads elsewhere."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.records.atomic_files import replacing
from benchmarks.records.errors import InputError

_WANTED = (
    "sweep.json",
    "cells/*.json",
    "runs/*/record.json",
    "runs/*/metrics.jsonl",
    "runs/*/*.png",
    "report/**/*",
)
"""What reports are made of, and the report; neither weights nor checkpoints."""

_CACHE = Path("report", "index")
"""What the next report writes again."""


def write(results: Path, archive: Path) -> int:
    """Writes a folder's archive as `.tar.gz`, whole or not at all; says how many files it has.

    Equal files make equal bytes: it holds no times and no owners. Raises InputError; OSError where
    the disk is full.
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
            tar.add(path, f"results/{path.relative_to(results).as_posix()}", filter=_plain)
    return len(files)


def _files(results: Path) -> Iterator[Path]:
    for pattern in _WANTED:
        for path in sorted(results.glob(pattern)):
            cached = path.is_relative_to(results / _CACHE)
            if path.is_file() and not path.is_symlink() and not cached:
                yield path


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry
