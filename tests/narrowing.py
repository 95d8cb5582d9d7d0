"""Narrows types: what a test needs is there, and of the kind that the test is about."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Returns a value; fails the test if it is None."""
    assert value is not None
    return value


def of_type(kind: type[T], value: object) -> T:
    """Returns a value; fails the test if it is not of this type."""
    assert isinstance(value, kind)
    return value
