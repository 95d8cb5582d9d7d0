"""Runs a user's Python script that makes torch datasets, for `capsbench data add`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.records.errors import InputError, printable
from models.registry import place_in


class Script(NamedTuple):
    """Holds what a script defines."""

    parts: dict[str, Any]
    """The map-style datasets `train` and, if there is one, `test`, by name."""
    classes: list[str] | None
    """The names of the classes by label, from the script or its dataset; None: it has none."""


def run_script(path: Path) -> Script:
    """Runs a script. Modules in its folder can be imported, as Python allows a script.

    Args:
        path: the script.

    Returns:
        The datasets that it assigns to `train` and `test`, and the names of their classes.

    Raises:
        InputError: if it raises an exception or exits, or assigns nothing to `train`.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # the last one, so that it hides no module of capsbench
    try:
        defined = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        kind, place = type(error).__name__, place_in(path, error)
        reason = printable(str(error))
        raise InputError(
            f"{path} ends with {kind}{place} ({reason}): correct it, and add it again"
        ) from error
    if defined.get("train") is None:
        raise InputError(f"{path} defines no dataset called train: assign a torch Dataset to it")
    classes = defined.get("classes") or getattr(defined["train"], "classes", None)
    return Script(
        {part: defined[part] for part in ("train", "test") if defined.get(part) is not None},
        None if classes is None else [str(name) for name in classes],
    )
