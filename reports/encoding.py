"""Prints substitutes on terminals that lack signs of the tables, such as ±."""

from __future__ import annotations

import codecs
import io
import sys

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


def substitute_missing_signs() -> None:
    """Makes standard output print substitutes for signs that its encoding lacks."""
    codecs.register_error("substitute", _substitute)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="substitute")


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(SUBSTITUTES.get(sign, "?") for sign in missing), error.end
