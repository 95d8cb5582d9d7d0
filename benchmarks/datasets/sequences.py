"""What tasks see of moving images: single frames, and sequences cut into past and future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from benchmarks.datasets.moving_sprites import CANVAS, MovingSprites, moving_sprites
from benchmarks.datasets.samples import to_float
from benchmarks.datasets.still_images import StillImages
from benchmarks.datasets.task_data import (
    SPRITES,
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
    ClipShape,
    Hyperparameters,
    Images,
    ImageShape,
    PredictionHyperparameters,
)


class Frames(NamedTuple):
    """Which frames a prediction variant is given and asked for."""

    past: int = 10
    future: int = 10
    size: int = 64
    """Their side in pixels, area-averaged from the canvas."""

    @classmethod
    def of(cls, config: Hyperparameters) -> Frames | None:
        """Returns the frames that hyper-parameters ask for; None for other tasks."""
        if isinstance(config, PredictionHyperparameters):
            return cls(config.past, config.future, config.size)
        return None

    def shape(self, channels: int) -> ClipShape:
        """Returns the shape of a sequence of these frames."""
        return ClipShape(channels, self.size, self.size, self.past, self.future)


@dataclass(frozen=True, eq=False)
class MovingFrames:
    """Single frames of moving sprites, with the classes of those sprites."""

    source: MovingSprites
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

    source: MovingSprites
    seed: int
    count: int
    fresh: bool
    """Whether each epoch shows new sequences: for training."""
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


def _cut(clips: Tensor, frames: Frames) -> Clips:
    past, future, size = frames
    clips = to_float(clips[:, : past + future])
    if clips.shape[-1] != size:
        small = F.interpolate(clips.flatten(0, 1), size=(size, size), mode="area")
        clips = small.unflatten(0, clips.shape[:2])
    return Clips(clips[:, :past], clips[:, past:])


def two_digit_shape(channels: int, classes: int) -> ImageShape:
    """Returns the shape of a frame that shows two digits."""
    return ImageShape(channels, CANVAS, CANVAS, classes, 2)


def two_digit_frames(
    still: StillImages, info: DataInfo, *, budget: Budget, seed: int, device: str
) -> TaskData:
    """Builds single frames of two digits of different classes (MultiMNIST: Sabour et al. 2017).

    Args:
        still: the digits' images.
        info: describes the data.
        budget: how many frames of each part.
        seed: the seed of the run.
        device: where frames are made.
    """
    images = _sprites(still, budget)

    def frames(part: PartName, *, seed: int, count: int, fresh: bool) -> MovingFrames:
        return MovingFrames(
            moving_sprites(images[part], distinct=True, device=device), seed, count, fresh
        )

    shape = two_digit_shape(still.train.images.shape[1], still.classes)
    return generated_data(frames, shape=shape, info=info, budget=budget, seed=seed)


def moving_sequences(
    still: StillImages, info: DataInfo, frames: Frames, *, budget: Budget, seed: int, device: str
) -> TaskData:
    """Builds sequences in which a dataset's images move.

    Args:
        still: the images.
        info: describes the data.
        frames: which frames, and how large.
        budget: how many sequences of each part.
        seed: the seed of the run.
        device: where sequences are made.
    """
    images = _sprites(still, budget)

    def clips(part: PartName, *, seed: int, count: int, fresh: bool) -> MovingClips:
        sprites = moving_sprites(images[part], distinct=False, device=device)
        return MovingClips(sprites, seed, count, fresh, frames)

    shape = frames.shape(still.train.images.shape[1])
    return generated_data(clips, shape=shape, info=info, budget=budget, seed=seed)


def _sprites(still: StillImages, budget: Budget) -> dict[str, Split]:
    """Returns the images that generated samples of each part show."""
    held = SPRITES if budget.validation_samples else 0
    train, validation = split_validation(still.train, validation=held, kept=None)
    return {"train": train, "validation": validation, "test": still.test}
