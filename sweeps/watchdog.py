"""A limit on the time without an epoch: a worker that hangs ends, as one that was killed does."""

from __future__ import annotations

import faulthandler
import sys
from types import TracebackType
from typing import Any

import pytorch_lightning as pl


class Watchdog(pl.Callback):
    """Ends this process where, within `seconds`, no epoch ends and the run doesn't either.

    It says where each thread was. The clock is the C library's: a call that holds the interpreter
    does not stop it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> Watchdog:
        self._wind()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        faulthandler.cancel_dump_traceback_later()

    def on_train_epoch_end(self, *_: Any) -> None:
        self._wind()

    def _wind(self) -> None:
        assert sys.__stderr__ is not None
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=sys.__stderr__)
