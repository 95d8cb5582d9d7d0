"""Losses of large batches computed slice by slice, in the memory of one slice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Loss = Callable[..., tuple[Tensor, Tensor]]


def mean_over_slices(
    loss: Loss, batch: Sequence[Tensor], parameters: Iterable[nn.Parameter], *, size: int
) -> tuple[Tensor, Tensor]:
    """`loss` of a batch, which must be a mean over its samples, and the prediction beside it.

    Slices of at most `size` samples go through `loss` in turn, and each slice's gradients are
    computed at once, in the forward pass, and summed: no more than one slice's activations are
    ever kept, and none is computed twice. Of a batch of several slices the prediction carries no
    gradient. Where none is asked for, the batch goes through whole.

    batch: tensors of one length. loss: slices of them to (scalar, prediction (samples, ...)).
    """
    if len(batch[0]) <= size or not torch.is_grad_enabled():
        return loss(*batch)
    slices = list(zip(*(part.split(size) for part in batch), strict=True))
    total, prediction = _Mean.apply(loss, slices, *parameters)
    return total, prediction


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, loss: Loss, slices: list[tuple[Tensor, ...]], *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        count = sum(len(parts[0]) for parts in slices)
        wanted = [
            p for p, needed in zip(parameters, ctx.needs_input_grad[2:], strict=True) if needed
        ]
        totals: list[Tensor] = []
        predictions: list[Tensor] = []
        sums: tuple[Tensor, ...] = ()
        for parts in slices:
            with torch.set_grad_enabled(bool(wanted)):
                value, prediction = loss(*parts)
                value = value * (len(parts[0]) / count)
            if wanted:
                gradients = torch.autograd.grad(value, wanted)
                if sums:
                    torch._foreach_add_(sums, gradients)
                else:
                    sums = gradients
            totals.append(value.detach())
            predictions.append(prediction.detach())
        ctx.save_for_backward(*sums)
        joined = torch.cat(predictions)
        ctx.mark_non_differentiable(joined)
        return torch.stack(totals).sum(), joined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        sums = iter(ctx.saved_tensors)
        needed = ctx.needs_input_grad[2:]
        return None, None, *(grad * next(sums) if need else None for need in needed)
