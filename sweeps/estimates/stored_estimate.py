"""Passes the driver's estimate of the time left to `capsbench status`. Importing this is fast."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.records.atomic_files import write_json

_FILE = ".time-left.json"
_OUTDATED = 300.0
"""Seconds after which an estimate is taken to be of a driver that was killed."""


def store_estimate(results: Path, seconds: float) -> None:
    """Stores the time left of a running sweep; a full disk is no reason to stop it.

    Args:
        results: the results folder.
        seconds: the estimate.
    """
    with suppress(OSError):
        write_json(results / _FILE, {"seconds": seconds, "at": time.time()})


def forget_estimate(results: Path) -> None:
    """Deletes the stored estimate of a sweep that has ended.

    Args:
        results: the results folder.
    """
    with suppress(OSError):
        (results / _FILE).unlink(missing_ok=True)


def read_estimate(results: Path) -> float | None:
    """Reads the time left of a running sweep.

    Args:
        results: the results folder.

    Returns:
        Seconds from now, at least 0; None if no driver has stored an estimate lately.
    """
    try:
        stored = json.loads((results / _FILE).read_bytes())
        age = time.time() - float(stored["at"])
        seconds = float(stored["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return max(0.0, seconds - age) if abs(age) < _OUTDATED else None
