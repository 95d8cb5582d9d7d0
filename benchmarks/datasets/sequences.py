"""Builds the samples of moving images: single frames, and sequences split into past and future."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from benchmarks.datasets.frames import Frames
from benchmarks.datasets.moving_sprites import CANVAS, MovingSprites, moving_sprites
from benchmarks.datasets.samples import to_float
from benchmarks.datasets.still_images import StillImages
from benchmarks.datasets.task_data import (
    SPRITES,
    GeneratedSamples,
    PartName,
    Split,
    TaskData,
    generated_data,
    split_validation,
)
from benchmarks.records.record import DataInfo
from benchmarks.records.spec import Budget
from models.variant import (
    Clips,
    Images,
    ImageShape,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class MovingFrames(GeneratedSamples):
    """Generates single frames of moving sprites, with the classes of the sprites as labels."""

    source: MovingSprites

    def gather(self, index: Tensor, epoch: int) -> Images:
        frames, labels = self.source.clips(
            seed=self.seed, epoch=self.drawn_in(epoch), index=index, frames=1
        )
        return Images(to_float(frames[:, 0]), labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class MovingClips(GeneratedSamples):
    """Generates sequences of moving sprites, split into past and future."""

    source: MovingSprites
    frames: Frames

    def gather(self, index: Tensor, epoch: int) -> Clips:
        frames, _ = self.source.clips(
            seed=self.seed,
            epoch=self.drawn_in(epoch),
            index=index,
            frames=self.frames.past + self.frames.future,
        )
        return _cut(frames, self.frames)


@dataclass(frozen=True, eq=False)
class FiledClips:
    """Holds sequences from a file, which are split into past and future."""

    clips: Tensor
    """(n, past + future or more, channels, height, width) uint8."""
    frames: Frames

    def __len__(self) -> int:
        return len(self.clips)

    def gather(self, index: Tensor, epoch: int) -> Clips:
        return _cut(self.clips[index], self.frames)


def _cut(clips: Tensor, frames: Frames) -> Clips:
    past, future, size = frames
    clips = to_float(clips[:, : past + future])
    if clips.shape[-1] != size:
        small = F.interpolate(clips.flatten(0, 1), size=(size, size), mode="area")
        clips = small.unflatten(0, clips.shape[:2])
    return Clips(clips[:, :past], clips[:, past:])


def two_digit_shape(channels: int, classes: int) -> ImageShape:
    """Returns the shape of a frame that shows two digits.

    Args:
        channels: number of channels.
        classes: number of classes of digits.
    """
    return ImageShape(channels, CANVAS, CANVAS, classes, 2)


def two_digit_frames(
    still: StillImages, info: DataInfo, *, budget: Budget, seed: int, device: str
) -> TaskData:
    """Builds single frames of two digits of different classes (MultiMNIST: Sabour et al. 2017).

    Args:
        still: the images of the digits.
        info: the description of the data.
        budget: how many frames of each part are used.
        seed: the seed of the run.
        device: where frames are generated.

    Returns:
        The samples for training, validation and test.
    """
    images = _sprites(still, budget)

    def frames(part: PartName, *, seed: int, count: int, fresh: bool) -> MovingFrames:
        sprites = moving_sprites(images[part], distinct=True, device=device)
        return MovingFrames(source=sprites, seed=seed, count=count, fresh=fresh)

    shape = two_digit_shape(still.train.images.shape[1], still.classes)
    return generated_data(frames, shape=shape, info=info, budget=budget, seed=seed)


def moving_sequences(
    still: StillImages, info: DataInfo, frames: Frames, *, budget: Budget, seed: int, device: str
) -> TaskData:
    """Builds sequences in which the images of a dataset move.

    Args:
        still: the images.
        info: the description of the data.
        frames: number and size of the frames.
        budget: how many sequences of each part are used.
        seed: the seed of the run.
        device: where sequences are generated.

    Returns:
        The samples for training, validation and test.
    """
    images = _sprites(still, budget)

    def clips(part: PartName, *, seed: int, count: int, fresh: bool) -> MovingClips:
        sprites = moving_sprites(images[part], distinct=False, device=device)
        return MovingClips(source=sprites, seed=seed, count=count, fresh=fresh, frames=frames)

    shape = frames.shape(still.train.images.shape[1])
    return generated_data(clips, shape=shape, info=info, budget=budget, seed=seed)


def _sprites(still: StillImages, budget: Budget) -> dict[str, Split]:
    """Returns, by part, the images that generated samples show."""
    held = SPRITES if budget.validation_samples else 0
    train, validation = split_validation(still.train, validation=held, kept=None)
    return {"train": train, "validation": validation, "test": still.test}
