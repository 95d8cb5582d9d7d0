"""Which number formats a processor is slow at, since it has no units for them."""

from __future__ import annotations

import time

import torch

SIDE = 256
"""Rows and columns of the product that is timed. Without units for bfloat16, a product of 3072
takes minutes; one of 256 is over in a tenth of a second."""
CALLS = 3
"""How often each product is timed. The shortest time counts."""
SLOW = 1.5
"""A format whose product takes this many times as long as float32's has no units of its own."""
FORMATS = {"bf16-mixed": torch.bfloat16}
"""The format of the products in each precision of a run that is not float32 throughout."""


def slowdown(dtype: torch.dtype) -> float:
    """Times a small matrix product in a number format and in float32, on the CPU.

    Args:
        dtype: the number format.

    Returns:
        Seconds in the format over seconds in float32: below 1 with units for it.
    """
    return _seconds(dtype) / _seconds(torch.float32)


def missing_units(precision: str, device: str) -> str | None:
    """Says that a run's precision is slow on this machine.

    Args:
        precision: of a run, as in `RunSpec`.
        device: `cpu` or `cuda`.

    Returns:
        One sentence with the measured factor; None where the precision is no slower than float32,
        or where a GPU computes.
    """
    if device != "cpu" or precision not in FORMATS:
        return None
    factor = slowdown(FORMATS[precision])
    if factor < SLOW:
        return None
    return (
        f"{precision} is slow here: this processor has no units for bfloat16, and a small matrix "
        f"product takes {factor:.0f} times as long as in float32. Use 32-true."
    )


def _seconds(dtype: torch.dtype) -> float:
    factor = torch.ones(SIDE, SIDE, dtype=dtype)
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        torch.mm(factor, factor)
        taken.append(time.perf_counter() - start)
    return min(taken)
