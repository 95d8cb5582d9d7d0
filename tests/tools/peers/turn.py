"""Lets one contender compute, in its own process, only when it is its turn.

This module imports the standard library alone, because a peer's packages may have the same names as
ours. Environment variables set the threads and the allocator.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

SHORTEST = 1.0
"""Seconds that a turn lasts at least, of as many steps as that takes."""


def serve(step: Callable[[], object], samples: int, **facts: object) -> None:
    """Makes two steps, writes the peak memory, and then answers `step` with the seconds of a step.

    Args:
        step: makes one training step.
        samples: number of images or sequences per step.
        facts: further facts that the driver prints, such as the number of parameters.
    """
    before = resident("VmRSS")
    step()
    step()
    memory = resident("VmHWM") - before
    answer({"samples": samples, "bytes": memory, "libraries": libraries(), **facts})
    for line in sys.stdin:
        if line.strip() == "step":
            answer(timed(step))


def timed(step: Callable[[], object]) -> float:
    """Makes steps for at least `SHORTEST` seconds, and returns the seconds of one step."""
    begun, made = time.perf_counter(), 0
    while made == 0 or time.perf_counter() - begun < SHORTEST:
        step()
        made += 1
    return (time.perf_counter() - begun) / made


def libraries() -> str:
    """Lists the loaded libraries that compute, with their versions."""
    loaded = [name for name in ("torch", "jax", "flax", "keras") if name in sys.modules]
    return ", ".join(f"{name} {version(name)}" for name in loaded)


def answer(value: object) -> None:
    """Writes one line of JSON to the driver; prints of libraries go elsewhere."""
    print(json.dumps(value), file=sys.__stdout__, flush=True)


def resident(name: str) -> int:
    """Returns the bytes of the process's memory, now (`VmRSS`) or at its peak (`VmHWM`). Linux
    only.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
