"""Implements equations of Sabour et al. 2017 with loops over single capsules."""

from __future__ import annotations

import torch
from torch import Tensor


def squash(s: Tensor) -> Tensor:
    """Squashes one capsule (dims,) by equation 1; a zero vector stays zero."""
    squared = (s * s).sum()
    if squared == 0:
        return 0 * s
    return squared / (1 + squared) * s / squared.sqrt()


def routing(
    votes: Tensor, iterations: int, over: str, bias: Tensor | None = None, orphan: bool = False
) -> Tensor:
    """Routes the votes of one sample by procedure 1: (outputs, inputs, dims) to (outputs, dims).

    With `orphan`, each softmax has one more logit, which is 0 and belongs to no capsule.
    """
    outputs, inputs, _ = votes.shape
    logits = [[votes.new_zeros(()) for _ in range(inputs)] for _ in range(outputs)]
    for _ in range(iterations):
        exp = [[b.exp() for b in row] for row in logits]
        capsules = []
        for j in range(outputs):
            s = torch.zeros_like(votes[0, 0]) if bias is None else bias[j]
            for i in range(inputs):
                rivals = [row[i] for row in exp] if over == "outputs" else exp[j]
                total = torch.stack(rivals).sum() + (1 if orphan else 0)
                s = s + exp[j][i] / total * votes[j, i]
            capsules.append(squash(s))
        for j in range(outputs):
            for i in range(inputs):
                logits[j][i] = logits[j][i] + (votes[j, i] * capsules[j]).sum()
    return torch.stack(capsules)


def margin_loss(lengths: Tensor, present: set[int], *, squared: bool) -> Tensor:
    """Computes the margin loss of one sample (equation 4) from capsule lengths and true classes."""
    total = lengths.new_zeros(())
    for k, length in enumerate(lengths):
        margin = 0.9 - length if k in present else length - 0.1
        violation = margin.clamp(min=0)
        cost = violation**2 if squared else violation
        total = total + (cost if k in present else 0.5 * cost)
    return total
