"""Precision where it matters, whatever autocast is doing around."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32 where it was narrower, as it is otherwise: for norms, logs and loss sums."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
