"""The one error that a user's input may cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

LONGEST = 120
"""Characters of a field's name, or of a reason, in a sentence: a damaged file may hold any."""


class InputError(Exception):
    """Bad input, told in one sentence that names the thing, the reason and the remedy.

    Command lines print it and exit with code 2.
    """


def first_fault(error: ValidationError) -> str:
    """Says in one line which field of a stored file is wrong, and why; of several, the first."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = printable(".".join(map(str, fault["loc"])))
    reason = printable(fault["msg"].removeprefix("Value error, "))
    return f"{field}: {reason}" if field else reason


def printable(text: str) -> str:
    """Makes a text of a stored file fit for a sentence: printable, and of bounded length."""
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
