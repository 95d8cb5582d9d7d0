"""Ends commands, and prints on terminals that lack signs of the tables, such as ±.

It is in this room because every command line uses it, and reports import no other room.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

SUBSTITUTES = {
    "±": "+-",
    "≈": "~",
    "†": "#",
    "↑": "^",
    "↓": "v",
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "·": "*",
}
"""Printed where a terminal's encoding lacks a sign; a question mark is printed for any other."""


def run_command(app: Callable[[], object]) -> NoReturn:
    """Runs a command line, and then ends the process without Python's cleanup.

    After an import of torch this cleanup takes most of a second. Signs that the terminal lacks are
    printed as their substitutes.

    Args:
        app: the command line, without arguments; it may raise SystemExit with an exit code.
    """
    substitute_missing_signs()
    code = 0
    try:
        app()
    except SystemExit as ended:
        code = int(ended.code or 0)
    exit_now(code)


def fail(sentence: str) -> NoReturn:
    """Prints a sentence on stderr, and leaves the command with exit code 2.

    Args:
        sentence: the message, printed after `capsbench: `.

    Raises:
        SystemExit: always.
    """
    print(f"capsbench: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def exit_now(exit_code: int) -> NoReturn:
    """Flushes stdout and stderr, and ends the process without Python's cleanup.

    The cleanup can take seconds.

    Args:
        exit_code: the exit code of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader of a pipe may have ended
            stream.flush()
    os._exit(exit_code)


def substitute_missing_signs() -> None:
    """Makes stdout and stderr print substitutes for signs that their encoding lacks."""
    codecs.register_error("substitute", _substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="substitute")


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(SUBSTITUTES.get(sign, "?") for sign in missing), error.end
