"""Shares each training batch among processes that train one model together, one per device.

Each process computes the loss of its own share, and the gradients are averaged. That equals the
gradient of the whole batch where a loss term is a mean over samples. A term that is no such mean,
because it compares sums over the batch, reads the samples of all shares: see `whole_batch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Share(NamedTuple):
    """Names the part of each training batch that a process computes."""

    rank: int = 0
    """The number of the process, from 0."""
    devices: int = 1
    """The number of processes; torch's default process group connects them if there are several."""

    def of(self, batch: Tensor) -> Tensor:
        """Returns the rows of this share.

        Args:
            batch: (n, ...); `devices` divides n.

        Returns:
            (n / devices, ...).
        """
        rows = len(batch) // self.devices
        return batch[self.rank * rows : (self.rank + 1) * rows]


WHOLE = Share()
"""The whole batch, on one device."""

_current = WHOLE


def current_share() -> Share:
    """Returns the share of this process: the whole batch outside of `sharing`."""
    return _current


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Lets this process train on a share of each batch.

    Args:
        share: the share; torch's default process group connects the processes.
    """
    global _current
    before, _current = _current, share
    try:
        yield
    finally:
        _current = before


def whole_batch(x: Tensor) -> Tensor:
    """Returns the rows of the whole batch, in training on several devices.

    Gradients flow to the shares of all processes. A loss term of the whole batch, which is then
    equal in all processes, so gets the gradient that one process would compute.

    Args:
        x: (n, ...), this process's share.

    Returns:
        (all samples, ...); x itself on one device, and where no gradients are computed, since
        a process evaluates alone.
    """
    if _current.devices == 1 or not torch.is_grad_enabled():
        return x
    return of_all_shares(x).flatten(0, 1)


def of_all_shares(x: Tensor) -> Tensor:
    """Collects a tensor from all processes; gradients flow to the tensors of all processes.

    Args:
        x: of the same shape in all processes.

    Returns:
        (processes, *shape of x), ordered by rank.
    """
    collected: Tensor = _Collect.apply(x)
    return collected


def mean_of_shares(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Averages scalars over all processes, in double precision and without gradients.

    Args:
        values: scalars by name, with the same names in all processes.

    Returns:
        The means by name; the values themselves on one device.
    """
    if _current.devices == 1:
        return values
    own = torch.stack([value.detach().double() for value in values.values()])
    return dict(zip(values, _sum_by_rank(_collect(own)) / _current.devices, strict=True))


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Averages the gradients of all processes, adding them in the order of the ranks.

    A parameter that no process has used keeps the gradient None; where only some have used it, the
    gradient of the others counts as zero.

    Args:
        parameters: of the model, in the same order in all processes; gradients are overwritten.
    """
    trained = [p for p in parameters if p.requires_grad]
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    used = torch.tensor([float(p.grad is not None) for p in trained], device=parts[0].device)
    total = _sum_by_rank(_collect(torch.cat([part.flatten() for part in parts] + [used])))
    *means, uses = (total / _current.devices).split([p.numel() for p in trained] + [len(trained)])
    for parameter, mean, share in zip(trained, means, uses.tolist(), strict=True):
        if share:
            parameter.grad = mean.view_as(parameter).to(parameter.dtype)


class _Collect(torch.autograd.Function):
    """Implements `of_all_shares`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _collect(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # By process, the gradient of its loss with respect to this process's share.
        return _sum_by_rank(_collect(grad)[:, _current.rank])


def _collect(x: Tensor) -> Tensor:
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(_current.devices)]
    dist.all_gather(parts, x)
    return torch.stack(parts)


def _sum_by_rank(parts: Tensor) -> Tensor:
    """Adds the parts (processes, ...) in the order of the ranks, so that rounding is fixed."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
