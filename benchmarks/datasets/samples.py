"""Samples in memory: what batches are gathered from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from benchmarks.datasets.task_data import Split
from models.variant import Clips, Images, Points

Batch = Images | Clips | Points


class Samples(Protocol):
    """What batches are gathered from."""

    def __len__(self) -> int: ...

    def gather(self, index: Tensor, epoch: int) -> Batch:
        """Returns the samples of an index (batch,), as float32 in [0, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class StillSamples:
    """Images as they are: images (n, channels, height, width) uint8, labels (n,) int64."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, split: Split, device: str) -> StillSamples:
        """Puts the images of a split on a device."""
        images, labels = (torch.from_numpy(a).to(device) for a in (split.images, split.labels))
        return cls(images, labels)

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, index: Tensor, epoch: int) -> Images:
        return Images(to_float(self.images[index]), self.labels[index, None])


def to_float(pixels: Tensor) -> Tensor:
    """Converts uint8 in 0 … 255 to float32 in [0, 1]."""
    return pixels.to(torch.float32).div_(255)
