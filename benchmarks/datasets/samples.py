"""Holds samples in memory, from which batches are gathered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.variant import Clips, Images, Points

Batch = Images | Clips | Points


class Samples(Protocol):
    """Defines the interface of samples from which batches are gathered."""

    def __len__(self) -> int: ...

    def gather(self, index: Tensor, epoch: int) -> Batch:
        """Gathers a batch.

        Args:
            index: (batch,) int64, the indices of the samples.
            epoch: the number of the epoch; generated training samples differ by epoch.

        Returns:
            The batch; images are float32 in [0, 1].
        """
        ...


@dataclass(frozen=True, eq=False)
class StillSamples:
    """Holds still images (n, channels, height, width) uint8, and their labels (n,) int64."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, device: str) -> StillSamples:
        """Copies images and their labels to a device.

        Args:
            images: (n, channels, height, width) uint8.
            labels: (n,) int64.
            device: `cpu` or `cuda`.
        """
        return cls(torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device))

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, index: Tensor, epoch: int) -> Images:
        return Images(to_float(self.images[index]), self.labels[index, None])


def to_float(pixels: Tensor) -> Tensor:
    """Converts pixels from uint8 to float32 in [0, 1].

    Args:
        pixels: uint8 of any shape.

    Returns:
        float32 of the same shape.
    """
    return pixels.to(torch.float32).div_(255)
