"""Finds and removes passwords in database URLs, which must be neither printed nor stored."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

_SECRET = re.compile(r"pass(?!file)|pwd|secret|token", re.IGNORECASE)
"""Matches the names of URL parameters whose values are secret."""


def without_password(url: str) -> str:
    """Removes the password and secret parameters from the URL of a database.

    Args:
        url: a URL, or a path.

    Returns:
        The URL without them; a path is returned unchanged.
    """
    if "://" not in url:
        return url
    place, mark, query = re.sub(r"^([^/@]*://[^:/@]*):.*@", r"\1@", url).partition("?")
    kept = [pair for pair in query.split("&") if not _SECRET.search(_name(pair))]
    return place + mark + "&".join(kept) if kept else place


def passwords_in(url: str) -> list[str]:
    """Lists the secret parts of a database's URL, both as written and decoded.

    Args:
        url: the URL.

    Returns:
        The passwords and the values of secret parameters.
    """
    found: list[str] = []
    if (user := re.match(r"[^/@]*://[^:/@]*:(.*)@", url)) is not None:
        found += user[1].split("@")  # a driver takes the first @ for the end of a password
    for pair in url.partition("?")[2].split("&"):
        if _SECRET.search(_name(pair)):
            found.append(pair.partition("=")[2])
    return [text for part in found if part for text in {part, unquote_plus(part)}]


def _name(pair: str) -> str:
    """Returns the decoded name of a URL parameter that is written as name=value."""
    return unquote_plus(pair.partition("=")[0])
