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
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

GRACE = 7.0
"""Seconds that a run has to reach a point where it can be left."""

DRIVER_GRACE = 8.5
"""Seconds that a driver has, whose workers have GRACE. Ten is what the outside is promised."""

_TOLD = b"\ncapsbench: leaving at the next checkpoint; Ctrl-C again leaves at once\n"


class Interrupted(BaseException):
    """The process was asked to leave, and nothing is lost if it does so here."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


_grace: float | None = None
"""None outside of `grace_period()`."""
_asked: int | None = None
"""The signal."""
_deadline: threading.Timer | None = None


@contextmanager
def grace_period(grace: float | None = None) -> Iterator[None]:
    """While it lasts, a process that is asked to leave has so many seconds for it, or GRACE.

    Within another one it does nothing. A Ctrl-C that the process ignores stays ignored; and signals
    reach the main thread alone.
    """
    global _grace, _asked
    if _grace is not None:
        yield
        return
    _grace, _asked = GRACE if grace is None else grace, None
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        signal.signal(signal.SIGTERM, _answer)
        if before[signal.SIGINT] is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _answer)
    try:
        yield
    finally:
        if _deadline is not None:
            _deadline.cancel()
        _grace, _asked = None, None
        for number, handler in before.items():
            signal.signal(number, handler)


def take_back_sigterm() -> None:
    """Takes SIGTERM back from Lightning, whose answer is to stop where no checkpoint is."""
    if _grace is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _answer)


def request_stop(signum: int = signal.SIGTERM) -> None:
    """Asks this process to leave; where nothing is under way that could be lost, it ends here."""
    global _asked, _deadline
    if _grace is None:
        os._exit(128 + signum)
    if _asked is None:
        _asked = signum
        _deadline = threading.Timer(_grace, os._exit, (128 + signum,))
        _deadline.daemon = True
        _deadline.start()


def stop_requested() -> bool:
    """Whether the process shall leave."""
    return _asked is not None


def raise_if_requested() -> None:
    """Raises Leave where the process shall leave."""
    if _asked is not None:
        raise Interrupted(_asked)


def end_process(sentence: str, exit_code: int) -> NoReturn:
    """Prints a sentence and ends the process; what interpreters tidy up first takes seconds."""
    print(f"\ncapsbench: {sentence}", file=sys.stderr)
    exit_now(exit_code)


def exit_now(exit_code: int) -> NoReturn:
    """Ends the process, with what it has printed, and without what interpreters tidy up."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a reader that has left
            stream.flush()
    os._exit(exit_code)


def _answer(signum: int, frame: FrameType | None) -> None:
    if signum == signal.SIGINT:
        if _asked is not None:
            raise KeyboardInterrupt
        os.write(2, _TOLD)
    request_stop(signum)
