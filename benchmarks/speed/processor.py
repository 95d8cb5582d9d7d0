"""Detects number formats that a processor computes slowly, because it has no hardware for them."""

from __future__ import annotations

import time

import torch

SIDE = 256
"""Rows and columns of the timed matrices. Without hardware for bfloat16, a product of side 3072
takes minutes; a product of side 256 takes a tenth of a second."""
CALLS = 3
"""How often each product is timed; the shortest time counts."""
SLOW = 1.5
"""A format counts as slow if its product takes this many times as long as a float32 product."""
FORMATS = {"bf16-mixed": torch.bfloat16}
"""By precision of a run, the number format of its matrix products; float32 is left out."""


def slowdown(dtype: torch.dtype) -> float:
    """Times a small matrix product in a number format and in float32, on the CPU.

    Args:
        dtype: the number format.

    Returns:
        Seconds in the format divided by seconds in float32; below 1 if there is hardware for it.
    """
    return _seconds(dtype) / _seconds(torch.float32)


def missing_units(precision: str, device: str) -> str | None:
    """Checks whether a precision is slow on this machine.

    Args:
        precision: as in a spec.
        device: `cpu`, `cuda` or `mps`; on a GPU nothing is measured.

    Returns:
        A warning with the measured factor, in two sentences; None if the precision is fast enough
        or the device is a GPU.
    """
    if device != "cpu" or precision not in FORMATS:
        return None
    factor = slowdown(FORMATS[precision])
    if factor < SLOW:
        return None
    return (
        f"{precision} is slow on this machine: the processor has no hardware for bfloat16, and a "
        f"small matrix product takes {factor:.0f} times as long as in float32. Use 32-true."
    )


def _seconds(dtype: torch.dtype) -> float:
    factor = torch.ones(SIDE, SIDE, dtype=dtype)
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        torch.mm(factor, factor)
        taken.append(time.perf_counter() - start)
    return min(taken)
