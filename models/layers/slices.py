"""Computes losses of large batches slice by slice, in the memory of one slice."""

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
    """Computes a loss that is a mean over samples, slice by slice, with its prediction.

    Each slice's gradients are computed in the forward pass and summed. The activations of only one
    slice are kept at a time, and none are computed twice. If the batch fits into one slice, or if
    gradients are off, `loss` is called once with the whole batch.

    Args:
        loss: takes slices of the tensors, and returns a scalar and a prediction (samples, ...).
        batch: tensors of the same length.
        parameters: parameters that receive gradients.
        size: largest number of samples in a slice.

    Returns:
        The loss, a scalar; and the prediction (samples, ...), which has no gradient if there are
        several slices.
    """
    if len(batch[0]) <= size or not torch.is_grad_enabled():
        return loss(*batch)
    slices = list(zip(*(part.split(size) for part in batch), strict=True))
    total, prediction = _Mean.apply(loss, slices, *parameters)
    return total, prediction


class _Mean(torch.autograd.Function):
    """Computes the loss and its gradients by slices; its backward pass only scales gradients."""

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
