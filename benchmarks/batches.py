"""Samples that lie in memory, and epochs that are slices of them.

An epoch's order is a pure function of (seed, epoch), and so is what a generated sample shows. There
are no data workers to set: decoded images fit into memory (CIFAR-10 is 184 MB), so a batch is one
gather on the device where the model is, cheaper than a hand-over from another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.datasets.constellations import constellations
from benchmarks.datasets.moving import Moving
from benchmarks.seeds import derive
from models.variant import Clips, Images, Points

Batch = Images | Clips | Points


class Frames(NamedTuple):
    """Which frames a prediction variant is given and asked for."""

    past: int = 10
    future: int = 10
    size: int = 64
    """Their side in pixels, area-averaged from the canvas."""


class Samples(Protocol):
    """What batches are cut from."""

    def __len__(self) -> int: ...

    def gather(self, index: Tensor, epoch: int) -> Batch:
        """The samples of an index (batch,), as float32 in [0, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class StillSamples:
    """Images as they are: images (n, channels, height, width) uint8, labels (n,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, index: Tensor, epoch: int) -> Images:
        return Images(to_float(self.images[index]), self.labels[index, None])


@dataclass(frozen=True, eq=False)
class MovingFrames:
    """Single frames of moving sprites, with the classes of those sprites."""

    source: Moving
    seed: int
    count: int
    fresh: bool
    """Whether each epoch shows new frames: for training."""

    def __len__(self) -> int:
        return self.count

    def gather(self, index: Tensor, epoch: int) -> Images:
        frames, labels = self.source.clips(
            seed=self.seed, epoch=epoch if self.fresh else 0, index=index, frames=1
        )
        return Images(to_float(frames[:, 0]), labels)


@dataclass(frozen=True, eq=False)
class MovingClips:
    """Sequences of moving sprites, cut into past and future."""

    source: Moving
    seed: int
    count: int
    fresh: bool
    frames: Frames

    def __len__(self) -> int:
        return self.count

    def gather(self, index: Tensor, epoch: int) -> Clips:
        frames, _ = self.source.clips(
            seed=self.seed,
            epoch=epoch if self.fresh else 0,
            index=index,
            frames=self.frames.past + self.frames.future,
        )
        return _cut(frames, self.frames)


@dataclass(frozen=True, eq=False)
class FiledClips:
    """Sequences from a file: clips (n, past + future or more, channels, height, width) uint8."""

    clips: Tensor
    frames: Frames

    def __len__(self) -> int:
        return len(self.clips)

    def gather(self, index: Tensor, epoch: int) -> Clips:
        return _cut(self.clips[index], self.frames)


@dataclass(frozen=True, eq=False)
class Constellations:
    """Sets of points, made when asked for."""

    seed: int
    count: int
    fresh: bool
    device: str

    def __len__(self) -> int:
        return self.count

    def gather(self, index: Tensor, epoch: int) -> Points:
        points, pattern = constellations(self.seed, epoch if self.fresh else 0, index.numpy())
        return Points(
            torch.from_numpy(points).to(self.device), torch.from_numpy(pattern).to(self.device)
        )


@dataclass(frozen=True, eq=False)
class Epoch:
    """One pass over samples; what Lightning takes for a data loader."""

    samples: Samples
    order: Tensor
    batch_size: int
    epoch: int = 0
    whole: bool = False
    """Leave out a last batch that is not full, where there is a full one."""
    first: int = 0
    """The step to begin at: those before were made before the run was interrupted."""

    def __len__(self) -> int:
        full, rest = divmod(len(self.order), self.batch_size)
        return full if not rest or (self.whole and full) else full + 1

    def __iter__(self) -> Iterator[Batch]:
        for k in range(self.first, len(self)):
            index = self.order[k * self.batch_size : (k + 1) * self.batch_size]
            yield self.samples.gather(index, self.epoch)


def training_epoch(
    samples: Samples, *, batch_size: int, seed: int, epoch: int, first: int = 0
) -> Epoch:
    """A shuffled pass: its order is a pure function of (seed, epoch)."""
    generator = torch.Generator().manual_seed(derive(seed, order=epoch))
    order = torch.randperm(len(samples), generator=generator)
    return Epoch(samples, order, batch_size, epoch, whole=True, first=first)


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


def to_float(pixels: Tensor) -> Tensor:
    """uint8 in 0 … 255 to float32 in [0, 1]."""
    return pixels.to(torch.float32).div_(255)


def _cut(clips: Tensor, frames: Frames) -> Clips:
    past, future, size = frames
    clips = to_float(clips[:, : past + future])
    if clips.shape[-1] != size:
        small = F.interpolate(clips.flatten(0, 1), size=(size, size), mode="area")
        clips = small.unflatten(0, clips.shape[:2])
    return Clips(clips[:, :past], clips[:, past:])
