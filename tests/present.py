"""Narrows types: what a test needs there is there."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Returns a value; fails the test if it is None."""
    assert value is not None
    return value
