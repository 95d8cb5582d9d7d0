"""Finds the passwords in the URL of a database, which are neither printed nor stored."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

_SECRET = re.compile(r"pass(?!file)|pwd|secret|token", re.IGNORECASE)
"""What the names of a URL's parameters hold whose values are nobody else's."""


def without_password(url: str) -> str:
    """Returns a database's URL without its password, or a path as it is."""
    if "://" not in url:
        return url
    place, mark, query = re.sub(r"^([^/@]*://[^:/@]*):.*@", r"\1@", url).partition("?")
    kept = [pair for pair in query.split("&") if not _SECRET.search(_name(pair))]
    return place + mark + "&".join(kept) if kept else place


def passwords_in(url: str) -> list[str]:
    """Lists what of a database's URL may not be printed, as it is written and decoded."""
    found: list[str] = []
    if (user := re.match(r"[^/@]*://[^:/@]*:(.*)@", url)) is not None:
        found += user[1].split("@")  # a driver takes the first @ for the end of a password
    for pair in url.partition("?")[2].split("&"):
        if _SECRET.search(_name(pair)):
            found.append(pair.partition("=")[2])
    return [text for part in found if part for text in {part, unquote_plus(part)}]


def _name(pair: str) -> str:
    """Returns the name of a parameter written as name=value."""
    return unquote_plus(pair.partition("=")[0])
