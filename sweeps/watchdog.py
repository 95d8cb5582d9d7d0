"""A limit on the time without an epoch: a worker that hangs ends, as one that was killed does."""

from __future__ import annotations

import faulthandler
from pathlib import Path
from types import TracebackType
from typing import Any

import pytorch_lightning as pl

from benchmarks.records.folders import RunFolder
from sweeps.deadlines import HUNG


class Watchdog(pl.Callback):
    """Ends this process where, within `seconds`, no epoch ends and the run doesn't either.

    What `place` holds then says where each thread was. The clock is the C library's: a call that
    holds the interpreter does not stop it.
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
    """Where a run's watchdog writes."""
    return RunFolder(results, run_id).path / HUNG


def read_hang(results: Path, run_id: str) -> str | None:
    """Where a run was when its last worker had hung; None where it died of something else."""
    try:
        return hang_file(results, run_id).read_text(errors="replace") or None
    except FileNotFoundError:
        return None
