"""What trivial answers are made of: how often classes occur, and mean pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.batches import Batch, Epoch, Samples
from models.variant import Images

MEAN_SAMPLES = 1_000
"""Training samples that a mean picture is taken of, at most: more change it by less than noise."""


def class_counts(samples: Samples, classes: int, batch_size: int) -> Tensor:
    """Counts how many of the samples show each class.

    Args:
        samples: images with labels.
        classes: how many classes there are.
        batch_size: images to read at a time.

    Returns:
        (classes,) float32, where the samples are.
    """
    total = torch.zeros(classes)
    for batch in _first_epoch(samples, len(samples), batch_size):
        assert isinstance(batch, Images)
        total = total.to(batch.y.device)
        total += torch.bincount(batch.y.flatten(), minlength=classes)
    return total


def mean_picture(samples: Samples, read: Callable[[Batch], Tensor], batch_size: int) -> Tensor:
    """Averages what `read` returns of batches of the first `MEAN_SAMPLES` samples.

    Args:
        samples: images or clips.
        read: from a batch to pictures (pictures, channels, height, width).
        batch_size: samples to read at a time.

    Returns:
        (channels, height, width) float32.
    """
    total, count = torch.zeros(()), 0
    for batch in _first_epoch(samples, min(MEAN_SAMPLES, len(samples)), batch_size):
        pictures = read(batch)
        total = total.to(pictures.device) + pictures.sum(0)
        count += len(pictures)
    return total / count


def _first_epoch(samples: Samples, count: int, batch_size: int) -> Iterator[Batch]:
    return iter(Epoch(samples, torch.arange(count), batch_size))
