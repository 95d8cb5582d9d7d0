"""Lets one driver at a time work in a results folder, and passes it the request to stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.records.errors import InputError

LOCK = ".driver.lock"
"""The file in a results folder that the driver of its sweep locks."""

STOP = ".stop"
"""The file in a results folder that asks the driver of its sweep to stop."""


@contextmanager
def locked(results: Path) -> Iterator[None]:
    """Locks a results folder, because two drivers would disturb each other's studies.

    Args:
        results: the results folder; it is made if it does not exist.

    Raises:
        InputError: if another driver has locked the folder, or it cannot be written.
    """
    lock = FileLock(results / LOCK, timeout=0)
    try:
        (results / "cells").mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another sweep is running in {results}: wait for it, stop it, or choose another "
            "--results folder"
        ) from None
    except (NotADirectoryError, FileExistsError, PermissionError) as error:
        raise InputError(
            f"{results} cannot hold results ({error.strerror}): choose another --results folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def ask_to_stop(results: Path) -> None:
    """Asks the sweep that is running in a results folder to stop.

    Args:
        results: the results folder.

    Raises:
        InputError: if no sweep is running there.
    """
    path = results / LOCK
    if path.exists():
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            (results / STOP).touch()
            return
        lock.release()
    raise InputError(f"no sweep is running in {results}: name its folder with --results")
