"""Targets and losses for images with one label or several (MultiMNIST protocol)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.layers.numerics import at_least_float32


def multi_hot(y: Tensor, classes: int) -> Tensor:
    """(batch, labels) class indices to (batch, classes) zeros and ones; a repeated label is one."""
    return F.one_hot(y, classes).amax(dim=1)


def top_labels(scores: Tensor, labels: int) -> Tensor:
    """The `labels` classes with the highest scores: (batch, classes) to (batch, labels)."""
    return scores.topk(labels, dim=1).indices


def cross_entropy(scores: Tensor, y: Tensor) -> Tensor:
    """Mean over batch and labels of the softmax cross-entropy.

    scores: (batch, classes) logits; y: (batch, labels).
    """
    return -at_least_float32(scores).log_softmax(dim=1).gather(1, y).mean()
