"""Generates sequences of bouncing sprites: the Moving MNIST protocol for still images.

The protocol (Srivastava, Mansimov, Salakhutdinov 2015) is implemented as in OpenSTL. The canvas has
64×64 pixels. Start and direction of a sprite are uniform. A sprite moves by a tenth of the free
room per frame, stops at a border and reverses. Where sprites overlap, the brighter pixel is shown.
The first frame is one step after the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.datasets.random_numbers import integers_below, random_words
from benchmarks.datasets.task_data import Split

DIGIT = 28
"""Height and width to which grey images are resized."""
COLOURED = 32
"""Height and width to which larger colour images, and those that are not square, are resized."""
SPEED = 0.1
"""Share of the free room by which a sprite moves per frame; for digits, 3.6 of 36 pixels."""
CANVAS = 64
"""Side of a generated frame, in pixels."""
_PIXEL = 1 << 20
"""Units per pixel: positions are integers, so that they are equal on all machines."""


@dataclass(frozen=True, eq=False)
class MovingSprites:
    """Generates clips of moving sprites; a clip is a pure function of (seed, epoch, index)."""

    sprites: Tensor
    """uint8 (N, C, h, w); clips are generated on the device of this tensor."""
    labels: Tensor
    """int64 (N,), the class of each sprite, on the same device."""
    count: int
    """Number of sprites in a frame, 1 or 2."""
    distinct: bool
    """Whether the two sprites of a clip have different classes (MultiMNIST: Sabour et al. 2017)."""
    canvas: int = CANVAS
    """Height and width of a frame, in pixels."""

    def clips(self, *, seed: int, epoch: int, index: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Generates clips.

        A clip depends only on seed, epoch and its index, not on other clips or on the device.

        Args:
            seed: the seed of the data.
            epoch: the epoch in which the clips are shown.
            index: (B,) int64, the indices of the clips.
            frames: number of frames per clip.

        Returns:
            Clips uint8 (B, frames, C, canvas, canvas), and the classes of their sprites,
            int64 (B, count).
        """
        device, number = self.sprites.device, index.cpu().numpy()
        chosen = torch.from_numpy(self._chosen(seed, epoch, number)).to(device)
        corners = torch.from_numpy(self._corners(seed, epoch, number, frames)).to(device)
        free = self.canvas - self.sprites.shape[-1]
        # A sprite is padded with black on all sides. A frame is the window of the padded sprite in
        # which the sprite is at its position.
        framed = F.pad(self.sprites[chosen], (free,) * 4)
        windows = framed.unfold(-2, self.canvas, 1).unfold(-2, self.canvas, 1)
        clip = torch.arange(len(number), device=device)[:, None]
        y, x = (free - corners).unbind(-1)
        shown = windows[clip, 0, :, y[:, 0], x[:, 0]]
        for sprite in range(1, self.count):
            other = windows[clip, sprite, :, y[:, sprite], x[:, sprite]]
            shown = torch.maximum(shown, other)
        return shown, self.labels[chosen]

    def _chosen(self, seed: int, epoch: int, index: np.ndarray) -> np.ndarray:
        """Draws the sprites of each clip: their indices, int64 (B, count)."""
        order, first, size = self._by_class
        words = random_words(seed, epoch, index, 0, draws=2)
        place = integers_below(words, len(order))
        if self.distinct and self.count == 2:
            # The second sprite is drawn from all sprites except those of the first one's class.
            label = np.searchsorted(first, place[:, 0], side="right") - 1
            other = integers_below(words[:, 1], len(order) - size[label])
            place[:, 1] = other + np.where(other >= first[label], size[label], 0)
        return order[place[:, : self.count]]

    def _corners(self, seed: int, epoch: int, index: np.ndarray, frames: int) -> np.ndarray:
        """Computes the upper left corners (y, x) in pixels, int64 (B, count, frames, 2)."""
        end = (self.canvas - self.sprites.shape[-1]) * _PIXEL
        words = np.stack(
            [random_words(seed, epoch, index, 1 + s, draws=3) for s in range(self.count)], 1
        )
        position = integers_below(words[..., :2], end)
        angle = integers_below(words[..., 2], 1 << 31) * (2 * np.pi / (1 << 31))
        step = np.rint(SPEED * end * np.stack([np.sin(angle), np.cos(angle)], -1)).astype(np.int64)
        corners = np.empty((*position.shape[:2], frames, 2), np.int64)
        for frame in range(frames):
            position = position + step
            step = np.where((position <= 0) | (position >= end), -step, step)
            position = position.clip(0, end)
            corners[:, :, frame] = position // _PIXEL
        return corners

    @cached_property
    def _by_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sorts the sprites by class.

        Returns:
            The indices of the sprites in this order, the position of the first sprite of each
            class that occurs, and the number of its sprites.
        """
        labels = self.labels.cpu().numpy()
        _, first, size = np.unique(np.sort(labels), return_index=True, return_counts=True)
        return np.argsort(labels, kind="stable"), first, size


def moving_sprites(split: Split, *, distinct: bool, device: torch.device | str) -> MovingSprites:
    """Makes still images move: two grey images per clip, or one colour image per clip.

    Grey images of other sizes are resized to 28×28 by bilinear interpolation. Colour images that
    are larger than 32×32 or not square are resized to 32×32 by averaging areas.

    Args:
        split: the images and their classes.
        distinct: whether the two images of a clip have different classes.
        device: where clips are generated.

    Returns:
        The generator of clips.
    """
    sprites = torch.from_numpy(split.images)
    digits = sprites.shape[1] == 1
    if digits and sprites.shape[-2:] != (DIGIT, DIGIT):
        resized = F.interpolate(sprites.double(), size=(DIGIT, DIGIT), mode="bilinear")
        sprites = resized.round().to(torch.uint8)
    height, width = sprites.shape[-2:]
    if height != width or height > COLOURED:
        resized = F.interpolate(sprites.double(), size=(COLOURED, COLOURED), mode="area")
        sprites = resized.round().to(torch.uint8)
    return MovingSprites(
        sprites=sprites.to(device),
        labels=torch.from_numpy(split.labels).to(device),
        count=2 if digits else 1,
        distinct=distinct,
    )
