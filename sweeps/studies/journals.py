"""Opens Optuna's journal files, and repairs those that have a sweep's study."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from benchmarks.records.errors import InputError

IDENTITY = "identity"
"""The attribute by which a sweep marks its studies; other programs do not set it."""

_SQLITE = b"SQLite format 3\0"
"""The first bytes of every SQLite database."""


def open_journal(path: Path) -> JournalStorage:
    """Opens a journal file; creates the file and its folder if they do not exist.

    If a crash left the last line of a sweep's journal incomplete, the line is removed, and a
    message on stderr says so. Journals of other programs are not changed.

    Args:
        path: the journal file.

    Returns:
        The storage.

    Raises:
        InputError: if the file is no journal, or another program's journal with an incomplete last
            line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _repair(path)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError) as error:
        raise _not_a_journal(path, type(error).__name__) from None


class _Content(NamedTuple):
    """Describes the content of a journal."""

    whole: int
    """The size of the complete entries, in bytes."""
    torn: int
    """The size of an incomplete last line, in bytes."""
    is_ours: bool
    """Whether a study of the journal belongs to a sweep."""


def _repair(path: Path) -> None:
    """Removes the last line of a sweep's journal if a killed writer left it incomplete."""
    if not _read_journal(path).torn:
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        content = _read_journal(path)  # a writer may have finished the line meanwhile
        if not content.torn:
            return
        if not content.is_ours:
            raise InputError(
                f"--storage {path}: the last line is incomplete, and the file has no study of a "
                "sweep, so it is left unchanged: name another file, and the studies are rebuilt "
                "there from the runs' records"
            )
        with path.open("r+b") as file:
            file.truncate(content.whole)
            os.fsync(file.fileno())
    finally:
        lock.release()
    print(
        f"capsbench: the last line of {path} is incomplete, and its {content.torn} bytes are "
        "removed: its trial is restored from the records",
        file=sys.stderr,
    )


def _read_journal(path: Path) -> _Content:
    """Reads a journal.

    Raises:
        InputError: if a line before the last is no entry of Optuna's.
    """
    if not path.is_file():
        raise _not_a_journal(path, "it is no regular file")
    whole, torn, is_ours = 0, b"", False
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            raise _not_a_journal(path, f"it is a database, whose name is sqlite:///{path}")
        file.seek(0)
        for line in file:
            if torn:
                raise _not_a_journal(path, "one of its lines is no entry")
            entry = _entry(line)
            if entry is None:
                torn = line
                continue
            whole += len(line)
            is_ours = is_ours or _names_a_sweep(entry)
    if torn and not whole:
        raise _not_a_journal(path, "it has no entry")
    return _Content(whole, len(torn), is_ours)


def _names_a_sweep(entry: dict[str, Any]) -> bool:
    """Returns whether an entry marks a study as a sweep's."""
    given = entry.get("user_attr")
    return "study_id" in entry and isinstance(given, dict) and IDENTITY in given


def _entry(line: bytes) -> dict[str, Any] | None:
    """Parses a line of a journal; returns None if the line is incomplete or no entry."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    is_entry = isinstance(entry, dict) and {"op_code", "worker_id"} <= entry.keys()
    return entry if is_entry else None


def _not_a_journal(path: Path, reason: str) -> InputError:
    return InputError(
        f"--storage {path} is no journal of Optuna's ({reason}), and is left unchanged: name "
        "another file, and the studies are rebuilt there from the runs' records"
    )
