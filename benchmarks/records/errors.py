"""Defines the error that bad user input causes, and words for stored files that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

LONGEST = 120
"""Longest text of a stored file in a message, in characters: a damaged file may hold any text."""


class InputError(Exception):
    """Reports bad input in one sentence that says what is wrong, why, and what to do.

    Command lines print the sentence and exit with code 2.
    """


class RunHeldError(InputError):
    """Reports that another process holds the folder of a run. Other runs can go on."""


class SweepStoppedError(InputError):
    """Reports what ends a sweep until the user removes a cause.

    The command line adds the command that resumes the sweep.
    """


def first_fault(error: ValidationError) -> str:
    """Describes the first fault of a stored file that pydantic finds, in one line.

    Args:
        error: pydantic's error.

    Returns:
        The field and the reason, printable and of bounded length.
    """
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = printable(".".join(map(str, fault["loc"])))
    reason = printable(fault["msg"].removeprefix("Value error, "))
    return f"{field}: {reason}" if field else reason


def printable(text: str) -> str:
    """Makes a text of a stored file fit for a message.

    Args:
        text: any text.

    Returns:
        The text with spaces in place of unprintable characters, cut to `LONGEST` characters.
    """
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
