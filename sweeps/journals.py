"""Optuna's journal files: opened only where they are journals, repaired only where a sweep's."""

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
"""The attribute that a sweep gives to each of its studies, and no one else to theirs."""

_SQLITE = b"SQLite format 3\0"
"""The first bytes of every SQLite database."""


def open_journal(path: Path) -> JournalStorage:
    """Opens a journal file; creates it, with its folder, if there is none.

    The last line of a journal that holds a sweep's study is cut off if a crash has torn it, and
    that is said. No other file is changed.

    Raises:
        InputError: if the file is no journal, or another program's journal with a torn last line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _repair(path)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError) as error:
        raise _not_a_journal(path, type(error).__name__) from None


class _Content(NamedTuple):
    """Says what a journal holds."""

    whole: int
    """Bytes of its whole entries."""
    torn: int
    """Bytes after them."""
    is_ours: bool
    """Whether one of its studies is a sweep's."""


def _repair(path: Path) -> None:
    """Cuts off the last line of a sweep's journal if it is torn, as a killed writer leaves it."""
    if not _read(path).torn:
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        content = _read(path)  # a writer may have finished the line meanwhile
        if not content.torn:
            return
        if not content.is_ours:
            raise InputError(
                f"--storage {path}: its last line is torn, and it holds no study of a sweep, so it "
                "was left as it is: name another file, and it is made from the runs' records"
            )
        with path.open("r+b") as file:
            file.truncate(content.whole)
            os.fsync(file.fileno())
    finally:
        lock.release()
    print(
        f"capsbench: the last line of {path} was torn, {content.torn} bytes, and is cut off: its "
        "trial is taken again from its records",
        file=sys.stderr,
    )


def _read(path: Path) -> _Content:
    """Reads a journal. Raises InputError if any line but the last is not an entry of Optuna's."""
    if not path.is_file():
        raise _not_a_journal(path, "it is no file")
    whole, torn, is_ours = 0, b"", False
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            raise _not_a_journal(path, f"it is a database, to be named as sqlite:///{path}")
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
        raise _not_a_journal(path, "it holds no entry")
    return _Content(whole, len(torn), is_ours)


def _names_a_sweep(entry: dict[str, Any]) -> bool:
    """Whether an entry gives a study the attribute that only sweeps give."""
    given = entry.get("user_attr")
    return "study_id" in entry and isinstance(given, dict) and IDENTITY in given


def _entry(line: bytes) -> dict[str, Any] | None:
    """Returns an entry of a journal; None if the line is torn, or something else."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    is_entry = isinstance(entry, dict) and {"op_code", "worker_id"} <= entry.keys()
    return entry if is_entry else None


def _not_a_journal(path: Path, reason: str) -> InputError:
    return InputError(
        f"--storage {path} is no journal of Optuna's ({reason}), and was left as it is: name "
        "another file, and it is made from the runs' records"
    )
