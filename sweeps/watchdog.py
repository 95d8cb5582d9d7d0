"""Ends a worker that hangs: a process in which no epoch ends within a time limit."""

from __future__ import annotations

import faulthandler
from pathlib import Path
from types import TracebackType
from typing import Any

import pytorch_lightning as pl

from benchmarks.records.folders import RunFolder
from sweeps.deadlines import HUNG


class Watchdog(pl.Callback):
    """Ends this process if neither an epoch nor the run ends within a time limit.

    It writes the traceback of each thread to a file first. It uses `faulthandler`, whose clock also
    runs while a call blocks the interpreter.

    Args:
        seconds: the time limit from epoch to epoch, in seconds.
        place: the file for the tracebacks, which is deleted if the run ends.
    """

    def __init__(self, seconds: float, place: Path) -> None:
        self._seconds, self._place = seconds, place

    def __enter__(self) -> Watchdog:
        self._place.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._place.open("w")
        self._wind()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
        self._place.unlink(missing_ok=True)

    def on_train_epoch_end(self, *_: Any) -> None:
        self._wind()

    def _wind(self) -> None:
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._file)


def hang_file(results: Path, run_id: str) -> Path:
    """Returns the path of the file to which a run's watchdog writes.

    Args:
        results: the results folder.
        run_id: the id of the run.
    """
    return RunFolder(results, run_id).path / HUNG


def read_hang(results: Path, run_id: str) -> str | None:
    """Reads where a run hung.

    Args:
        results: the results folder.
        run_id: the id of the run.

    Returns:
        The traceback of each thread of the run's last worker; None if that worker did not hang.
    """
    try:
        return hang_file(results, run_id).read_text(errors="replace") or None
    except FileNotFoundError:
        return None
