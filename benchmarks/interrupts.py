"""Stops a process at its next checkpoint after SIGTERM (a preempted job) or Ctrl-C.

Within `grace_period()` a signal, or `request_stop()`, only records a request. A run calls
`raise_if_requested()` where it can stop without a loss, that is after a checkpoint. A second Ctrl-C
raises KeyboardInterrupt at once. A process that has not stopped when the grace period is over is
ended; it loses the work since its last checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from benchmarks.records.terminal import exit_now

GRACE = 7.0
"""Seconds that a run has to reach a point where it can stop."""

DRIVER_GRACE = 8.5
"""Seconds that a sweep's driver has: more than its workers, less than the ten that users are
promised."""

_STOPPING = b"\ncapsbench: stopping at the next checkpoint; press Ctrl-C again to stop at once\n"


class Interrupted(BaseException):
    """Reports that the process was asked to stop, at a point where no work is lost.

    Args:
        signum: the number of the signal; the exit code is 128 + `signum`.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


_grace: float | None = None
"""None outside of `grace_period()`."""
_asked: int | None = None
"""The number of the signal that asked the process to stop; None: no signal did."""
_deadline: threading.Timer | None = None


@contextmanager
def grace_period(grace: float | None = None) -> Iterator[None]:
    """Gives this process some seconds to stop itself after SIGTERM or Ctrl-C.

    A process that has not left the context in time is ended. Inside another grace period this one
    has no effect. Signals are handled only if the context is entered in the main thread. If the
    process ignores SIGINT, it still ignores it.

    Args:
        grace: the seconds; by default `GRACE`.
    """
    global _grace, _asked
    if _grace is not None:
        yield
        return
    _grace, _asked = GRACE if grace is None else grace, None
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        signal.signal(signal.SIGTERM, _handle)
        if before[signal.SIGINT] is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _handle)
    try:
        yield
    finally:
        if _deadline is not None:
            _deadline.cancel()
        _grace, _asked = None, None
        for number, handler in before.items():
            signal.signal(number, handler)


def take_back_sigterm() -> None:
    """Restores this module's SIGTERM handler inside a grace period.

    Lightning 2.6 installs its own handler, which stops training where there is no checkpoint.
    """
    if _grace is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _handle)


def request_stop(signum: int = signal.SIGTERM) -> None:
    """Records that this process shall stop, and starts the countdown of the grace period.

    Outside a grace period no work can be lost, and the process ends at once.

    Args:
        signum: the number of the signal; the exit code is 128 + `signum`.
    """
    global _asked, _deadline
    if _grace is None:
        os._exit(128 + signum)
    if _asked is None:
        _asked = signum
        _deadline = threading.Timer(_grace, os._exit, (128 + signum,))
        _deadline.daemon = True
        _deadline.start()


def stop_requested() -> bool:
    """Returns whether the process was asked to stop."""
    return _asked is not None


def raise_if_requested() -> None:
    """Stops the work of this process here, if it was asked to stop.

    Raises:
        Interrupted: if the process was asked to stop.
    """
    if _asked is not None:
        raise Interrupted(_asked)


def end_process(sentence: str, exit_code: int) -> NoReturn:
    """Prints a sentence on stderr and ends the process as `exit_now` does.

    Args:
        sentence: the message, printed after `capsbench: `.
        exit_code: the exit code of the process.
    """
    print(f"\ncapsbench: {sentence}", file=sys.stderr)
    exit_now(exit_code)


def _handle(signum: int, frame: FrameType | None) -> None:
    if signum == signal.SIGINT:
        if _asked is not None:
            raise KeyboardInterrupt
        os.write(2, _STOPPING)
    request_stop(signum)
