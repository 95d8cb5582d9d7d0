"""Computes the statistics of training data that trivial answers need: class counts, mean images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.batches import Epoch
from benchmarks.datasets.samples import Batch, Samples, StillSamples

ENOUGH = 1_000
"""Number of generated samples whose classes are counted, and of images that are averaged. More
samples would change a floor by less than the difference between two seeds."""


def class_counts(samples: Samples, classes: int, batch_size: int) -> Tensor:
    """Counts how often samples show each class; of generated samples, the first 1,000 are counted.

    Args:
        samples: images with labels.
        classes: number of classes.
        batch_size: number of images to generate at a time.

    Returns:
        (classes,) float32, on the device of the samples.
    """
    if isinstance(samples, StillSamples):
        labels = samples.labels
    else:
        first = Epoch(samples, torch.arange(min(ENOUGH, len(samples))), batch_size)
        labels = torch.cat([batch[1].flatten() for batch in first])
    return torch.bincount(labels, minlength=classes).float()


def mean_picture(samples: Samples, read: Callable[[Batch], Tensor], batch_size: int) -> Tensor:
    """Averages images or frames of the first samples, until at least 1,000 of them are read.

    Args:
        samples: images or clips.
        read: takes a batch and returns its images, (images, channels, height, width).
        batch_size: number of samples to read at a time.

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
