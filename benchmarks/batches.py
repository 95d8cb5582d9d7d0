"""Cuts samples in memory into the batches of an epoch.

The order of a training epoch is a pure function of (seed, epoch). A generated sample is a pure
function of (seed, epoch, index). There are no data-loading processes: decoded images fit into
memory (CIFAR-10 has 184 MB), so a batch is one gather on the model's device, which is cheaper than
a transfer from another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.datasets.samples import Batch, Samples, StillSamples
from benchmarks.records.seeds import derive_seed
from models.layers.shares import WHOLE, Share, current_share


@dataclass(frozen=True, eq=False)
class Epoch:
    """Yields the batches of one pass over samples; Lightning uses an epoch as a data loader."""

    samples: Samples
    order: Tensor
    batch_size: int
    epoch: int = 0
    full_batches_only: bool = False
    """Whether an incomplete last batch is left out, unless it is the only batch."""
    first_step: int = 0
    """The index of the first batch to yield: a resumed run skips the batches before it."""
    share: Share = WHOLE
    """The part of each batch that is yielded: the whole batch, unless several devices train."""

    def __len__(self) -> int:
        full, rest = divmod(len(self.order), self.batch_size)
        return full if not rest or (self.full_batches_only and full) else full + 1

    def __iter__(self) -> Iterator[Batch]:
        for k in range(self.first_step, len(self)):
            index = self.order[k * self.batch_size : (k + 1) * self.batch_size]
            yield self.samples.gather(self.share.of(index), self.epoch)


def training_epoch(
    samples: Samples, *, batch_size: int, seed: int, epoch: int, first_step: int = 0
) -> Epoch:
    """Shuffles samples for one training epoch; the order is a pure function of (seed, epoch).

    In training on several devices, each process gets its share of the same batches.

    Args:
        samples: the training samples.
        batch_size: number of samples per batch, of all devices together.
        seed: the seed of the run.
        epoch: the number of the epoch, from 0.
        first_step: the index of the first batch to yield.

    Returns:
        The epoch, without an incomplete last batch unless this is the only batch.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, order=epoch))
    order = torch.randperm(len(samples), generator=generator)
    return Epoch(
        samples,
        order,
        batch_size,
        epoch,
        full_batches_only=True,
        first_step=first_step,
        share=current_share(),
    )


def evaluation_epoch(samples: Samples, *, batch_size: int) -> Epoch:
    """Cuts samples into batches in their stored order, with an incomplete last batch.

    Args:
        samples: the samples to evaluate on.
        batch_size: number of samples per batch.

    Returns:
        The epoch; generated samples are those of epoch 0.
    """
    return Epoch(samples, torch.arange(len(samples)), batch_size)


def all_pixels(samples: Samples, *, batch_size: int) -> Tensor:
    """Returns the pixels of all images. Generated images are those of epoch 0.

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
