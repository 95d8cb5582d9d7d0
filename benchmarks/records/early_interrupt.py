"""Ends a command without a stack trace if Ctrl-C comes while its modules are imported.

Importing this module installs the handler, so a command line imports it first, and calls
`hand_over` after its other imports. It is in this room because it must import nothing else.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType


def hand_over() -> None:
    """Gives Ctrl-C back to Python, which raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(signum: int, frame: FrameType | None) -> None:
    os.write(2, b"\ncapsbench: interrupted before it began\n")
    os._exit(130)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else Ctrl-C is ignored
    with suppress(ValueError):  # only the main thread can install a handler
        signal.signal(signal.SIGINT, _end)
