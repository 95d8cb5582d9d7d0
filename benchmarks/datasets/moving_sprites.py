"""Bouncing sprites: the Moving MNIST protocol over any dataset of still images.

Srivastava, Mansimov, Salakhutdinov 2015, as OpenSTL runs it: a 64×64 canvas; uniform start, uniform
direction, a tenth of the free room a frame; at a border the sprite stops and turns; sprites overlap
by their maximum; the first frame is one step after the start.
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
"""Height and width to which digits are brought; colour images stay as they are."""
SPEED = 0.1
"""Of the free room (36 pixels for digits, so 3.6) a frame."""
CANVAS = 64
"""Side of a generated frame, in pixels."""
_PIXEL = 1 << 20
"""Positions are integers in units of 1/_PIXEL pixel: the same on every machine."""


@dataclass(frozen=True, eq=False)
class MovingSprites:
    """Clips of `count` moving sprites, each clip a pure function of (seed, epoch, index)."""

    sprites: Tensor
    """uint8 (N, C, h, w), on any device; clips are made there."""
    labels: Tensor
    """int64 (N,), on the same device."""
    count: int
    """Sprites in a frame, 1 or 2."""
    distinct: bool
    """The two sprites of a clip are of different classes (MultiMNIST: Sabour et al. 2017)."""
    canvas: int = CANVAS

    def clips(self, *, seed: int, epoch: int, index: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Clips, uint8 (B, frames, C, canvas, canvas), and their labels, int64 (B, count).

        A clip depends on its own index (B,) alone, not on its batch nor on the device.
        """
        device, number = self.sprites.device, index.cpu().numpy()
        chosen = torch.from_numpy(self._chosen(seed, epoch, number)).to(device)
        corners = torch.from_numpy(self._corners(seed, epoch, number, frames)).to(device)
        free = self.canvas - self.sprites.shape[-1]
        # A sprite within a wide black frame, cut out where the canvas lies when the sprite is at
        # its corner.
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
        """Which sprites, int64 (B, count)."""
        order, first, size = self._by_class
        words = random_words(seed, epoch, index, 0, draws=2)
        place = integers_below(words, len(order))
        if self.distinct and self.count == 2:
            # The second is drawn from all sprites but those of the first one's class.
            label = np.searchsorted(first, place[:, 0], side="right") - 1
            other = integers_below(words[:, 1], len(order) - size[label])
            place[:, 1] = other + np.where(other >= first[label], size[label], 0)
        return order[place[:, : self.count]]

    def _corners(self, seed: int, epoch: int, index: np.ndarray, frames: int) -> np.ndarray:
        """Upper left corners (y, x) in pixels, int64 (B, count, frames, 2)."""
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
        """Sprites sorted by class, and where in that order each class present starts; its size."""
        labels = self.labels.cpu().numpy()
        _, first, size = np.unique(np.sort(labels), return_index=True, return_counts=True)
        return np.argsort(labels, kind="stable"), first, size


def moving_sprites(split: Split, *, distinct: bool, device: torch.device | str) -> MovingSprites:
    """Grey images two at a time, brought to 28×28 (bilinear); colour images one at a time."""
    sprites = torch.from_numpy(split.images)
    digits = sprites.shape[1] == 1
    if digits and sprites.shape[-2:] != (DIGIT, DIGIT):
        resized = F.interpolate(sprites.double(), size=(DIGIT, DIGIT), mode="bilinear")
        sprites = resized.round().to(torch.uint8)
    return MovingSprites(
        sprites=sprites.to(device),
        labels=torch.from_numpy(split.labels).to(device),
        count=2 if digits else 1,
        distinct=distinct,
    )
