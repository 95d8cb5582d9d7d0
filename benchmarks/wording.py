"""Formats values and bounds of hyper-parameters for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo


def value(number: object) -> str:
    """Formats a value: `yes` or `no`, or a number, without an exponent unless it is below 1e-9."""
    if isinstance(number, bool):
        return "yes" if number else "no"
    if isinstance(number, float):
        return f"{number:.12f}".rstrip("0").rstrip(".") if abs(number) >= 1e-9 else f"{number:g}"
    return str(number)


def given(value: object) -> str:
    """Formats a value that a user gave, in one line of at most 60 characters."""
    if isinstance(value, int) and value.bit_length() > 64:  # str() refuses more than 4,300 digits
        return f"a whole number of {value.bit_length()} bits"
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def choices(values: Iterable[object]) -> str:
    """Formats a list of choices: `one of a, b, c`, `4 or 6`, `yes or no`."""
    listed = [value(choice) for choice in values]
    if set(listed) == {"yes", "no"}:
        return "yes or no"
    return " or ".join(listed) if len(listed) < 3 else f"one of {', '.join(listed)}"


def bounds(field: FieldInfo) -> str:
    """Formats the type and bounds of a hyper-parameter, such as `whole number, at least 1`.

    Args:
        field: the pydantic field of the hyper-parameter.

    Returns:
        The phrase; `number` if there are no bounds.
    """
    if get_origin(field.annotation) is Literal:
        return choices(get_args(field.annotation))
    if field.annotation is bool:
        return "yes or no"
    limits = {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("ge", "gt", "le", "lt", "multiple_of")
        if hasattr(rule, name)
    }
    parts = [*(["whole number"] if field.annotation is int else []), *_limits(limits)]
    return ", ".join(parts) or "number"


def _limits(limits: dict[str, Any]) -> list[str]:
    written = {name: value(limit) for name, limit in limits.items()}
    parts = []
    if written.keys() >= {"ge", "le"}:
        parts.append(f"{written.pop('ge')} … {written.pop('le')}")
    signs = {"gt": "> ", "ge": "at least ", "lt": "< ", "le": "at most "}
    signs["multiple_of"] = "a multiple of "
    return parts + [f"{sign}{written[name]}" for name, sign in signs.items() if name in written]


def sizes(shape: NamedTuple) -> str:
    """Formats the shape of a sample, such as `channels 1, height 28, width 28, classes 10`.

    Args:
        shape: a shape of `models.variant`.

    Returns:
        Each field with its number.
    """
    return ", ".join(f"{name} {size}" for name, size in shape._asdict().items())
