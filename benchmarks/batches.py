"""Epochs: slices of samples that lie in memory.

An epoch's order is a pure function of (seed, epoch), and so is what a generated sample shows. There
are no data workers to set: decoded images fit into memory (CIFAR-10 is 184 MB), so a batch is one
gather on the device where the model is, cheaper than a hand-over from another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.datasets.samples import Batch, Samples, StillSamples
from benchmarks.records.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Epoch:
    """One pass over samples; what Lightning takes for a data loader."""

    samples: Samples
    order: Tensor
    batch_size: int
    epoch: int = 0
    full_batches_only: bool = False
    """Leave out a last batch that is not full, where there is a full one."""
    first_step: int = 0
    """The step to begin at: those before were made before the run was interrupted."""

    def __len__(self) -> int:
        full, rest = divmod(len(self.order), self.batch_size)
        return full if not rest or (self.full_batches_only and full) else full + 1

    def __iter__(self) -> Iterator[Batch]:
        for k in range(self.first_step, len(self)):
            index = self.order[k * self.batch_size : (k + 1) * self.batch_size]
            yield self.samples.gather(index, self.epoch)


def training_epoch(
    samples: Samples, *, batch_size: int, seed: int, epoch: int, first_step: int = 0
) -> Epoch:
    """A shuffled pass: its order is a pure function of (seed, epoch)."""
    generator = torch.Generator().manual_seed(derive_seed(seed, order=epoch))
    order = torch.randperm(len(samples), generator=generator)
    return Epoch(samples, order, batch_size, epoch, full_batches_only=True, first_step=first_step)


def evaluation_epoch(samples: Samples, *, batch_size: int) -> Epoch:
    """A pass in the samples' own order."""
    return Epoch(samples, torch.arange(len(samples)), batch_size)


def pixels_of(samples: Samples, *, batch_size: int) -> Tensor:
    """Gives the pixels of all images; generated ones are made, batch after batch, as in epoch 0.

    Args:
        samples: images.
        batch_size: number of images to generate at a time.

    Returns:
        (n, channels, height, width) uint8.
    """
    if isinstance(samples, StillSamples):
        return samples.images
    batches = evaluation_epoch(samples, batch_size=batch_size)
    return torch.cat([(255 * batch[0]).round().to(torch.uint8) for batch in batches])
