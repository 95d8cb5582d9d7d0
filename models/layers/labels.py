"""Computes targets and losses for images with one label or several (MultiMNIST protocol)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.layers.numerics import at_least_float32


def multi_hot(y: Tensor, classes: int) -> Tensor:
    """Converts class indices to multi-hot vectors.

    Args:
        y: (batch, labels) class indices; a class may be repeated.
        classes: number of classes.

    Returns:
        (batch, classes) int64, 1 for each class among the labels and 0 for the remaining classes.
    """
    return F.one_hot(y, classes).amax(dim=1)


def top_labels(scores: Tensor, labels: int) -> Tensor:
    """Finds the classes with the highest scores.

    Args:
        scores: (batch, classes).
        labels: how many classes to find per image.

    Returns:
        (batch, labels) class indices, from the highest score down.
    """
    return scores.topk(labels, dim=1).indices


def cross_entropy(scores: Tensor, y: Tensor) -> Tensor:
    """Computes the softmax cross-entropy, the mean over images and labels.

    Args:
        scores: (batch, classes) logits.
        y: (batch, labels) class indices.

    Returns:
        Scalar, in float32 at least.
    """
    return -at_least_float32(scores).log_softmax(dim=1).gather(1, y).mean()
