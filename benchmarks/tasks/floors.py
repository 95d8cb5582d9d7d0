"""What trivial answers are made of: how often classes occur, and mean pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.batches import Batch, Epoch, Samples, StillSamples

ENOUGH = 1_000
"""Generated samples whose classes are counted, and pictures that a mean is taken of: more would
change a floor by less than it differs between seeds."""


def class_counts(samples: Samples, classes: int, batch_size: int) -> Tensor:
    """Counts how often the samples show each class; of generated ones, about the first 1,000.

    Args:
        samples: images with labels.
        classes: how many classes there are.
        batch_size: generated images to make at a time.

    Returns:
        (classes,) float32, where the samples are.
    """
    if isinstance(samples, StillSamples):
        labels = samples.labels
    else:
        first = Epoch(samples, torch.arange(min(ENOUGH, len(samples))), batch_size)
        labels = torch.cat([batch[1].flatten() for batch in first])
    return torch.bincount(labels, minlength=classes).float()


def mean_picture(samples: Samples, read: Callable[[Batch], Tensor], batch_size: int) -> Tensor:
    """Averages the pictures that `read` returns of the first samples, about 1,000 of them.

    Args:
        samples: images or clips.
        read: from a batch to pictures (pictures, channels, height, width).
        batch_size: samples to read at a time.

    Returns:
        (channels, height, width) float32.
    """
    total, count = torch.zeros(()), 0
    for batch in Epoch(samples, torch.arange(len(samples)), batch_size):
        pictures = read(batch)
        total = total.to(pictures.device) + pictures.sum(0)
        count += len(pictures)
        if count >= ENOUGH:
            break
    return total / count
