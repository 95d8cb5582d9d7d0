"""Generates constellations: sets of points that are corners of a square, a triangle and a square.

The numbers are those of the authors' code (Kosiorek et al. 2019, section 3.1). Each pattern is
present with probability ½, rotated by up to ±90°, scaled by s in [1, 4] (its sides are then 2 to
8), and translated by up to 24/s along each axis. The 11 points are shuffled. They are scaled to
[-1, 1] by the smallest and the largest coordinate of both axes among 3,200 samples, because one
call of the authors' generator returns 100 batches of 32 samples. Here, a call is 3,200 samples with
consecutive indices, so that a sample is a pure function of (seed, epoch, index).

A model that puts all points of a sample into one segment scores 61 % (3.375 of 5.5 points), if
segments are matched to patterns for each sample separately. It scores 36 % (4 of 11 points) on
samples in which all patterns are present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets.dataset import Dataset, DataSource, Form, Part
from benchmarks.datasets.random_numbers import random_words, uniform_floats
from benchmarks.datasets.task_data import GeneratedSamples, PartName, TaskData, generated_data
from benchmarks.records.record import DataInfo, DataState
from benchmarks.records.spec import Budget, fingerprint
from models.variant import Points, PointShape

if TYPE_CHECKING:
    from benchmarks.datasets.frames import Frames

_SQUARE = ((1, 1), (1, 3), (3, 1), (3, 3))
_TRIANGLE = ((1, 2), (3, 1), (3, 3))
_PATTERNS = (_SQUARE, _TRIANGLE, _SQUARE)
_CORNERS = np.array([corner for pattern in _PATTERNS for corner in pattern], np.float64)
_PATTERN = np.repeat(np.arange(len(_PATTERNS)), [len(pattern) for pattern in _PATTERNS])
POINTS, PATTERNS = len(_CORNERS), len(_PATTERNS)
EXTENT, LARGEST = 24.0, 4.0
CALL = 3200
"""Number of consecutive samples that are scaled by the same smallest and largest coordinate."""
_DRAWS = 5


def constellations(seed: int, epoch: int, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Generates sets of points, and the pattern to which each point belongs.

    Absent points are at the origin.

    Args:
        seed: the seed of the data.
        epoch: the epoch in which the samples are shown.
        index: (B,) int64, the indices of the samples.

    Returns:
        Points float32 (B, 11, 3) as (x, y, presence), and the number of each point's pattern,
        int64 (B, 11).
    """
    points, present = _plane(seed, epoch, index)
    calls, call_of = np.unique(index // CALL, return_inverse=True)
    extremes = np.array([_extremes(seed, epoch, int(call)) for call in calls])
    low, high = extremes[call_of].T[..., None, None]
    points = 2 * (points - low) / (high - low) - 1
    everything = np.concatenate([points * present, present], -1).astype(np.float32)
    order = np.argsort(random_words(seed, epoch, index, 1, draws=POINTS), axis=1, kind="stable")
    return np.take_along_axis(everything, order[..., None], 1), _PATTERN[order]


def _plane(seed: int, epoch: int, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns points (B, 11, 2), neither shuffled nor scaled, and their presence (B, 11, 1)."""
    draws = uniform_floats(random_words(seed, epoch, index, 0, draws=_DRAWS * PATTERNS)).astype(
        np.float64
    )
    present, turn, size, x, y = np.moveaxis(draws.reshape(-1, PATTERNS, _DRAWS)[:, _PATTERN], 2, 0)
    angle, size = np.pi * (turn - 0.5), 1 + (LARGEST - 1) * size
    cos, sin, reach = size * np.cos(angle), size * np.sin(angle), EXTENT / size
    across, down = _CORNERS.T
    points = np.stack(
        [cos * across - sin * down + reach * x, sin * across + cos * down + reach * y], -1
    )
    return points, (present < 0.5).astype(np.float64)[..., None]


@lru_cache(maxsize=64)
def _extremes(seed: int, epoch: int, call: int) -> tuple[float, float]:
    """Returns the smallest and the largest coordinate of a call, including absent patterns."""
    points, _ = _plane(seed, epoch, np.arange(call * CALL, (call + 1) * CALL))
    return float(points.min()), float(points.max())


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstellationSamples(GeneratedSamples):
    """Generates sets of points when a batch is gathered."""

    device: str

    def gather(self, index: Tensor, epoch: int) -> Points:
        points, pattern = constellations(self.seed, self.drawn_in(epoch), index.numpy())
        return Points(
            torch.from_numpy(points).to(self.device), torch.from_numpy(pattern).to(self.device)
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Constellations(Dataset):
    """Generates sets of points, for the task autoencoding; no files are needed."""

    forms: ClassVar[Mapping[str, Form]] = {"autoencoding": Form.points}

    def shape_of(self, task: str, frames: Frames | None = None) -> PointShape:
        return PointShape(POINTS, PATTERNS)

    def load(
        self,
        task: str,
        *,
        budget: Budget,
        source: DataSource,
        seed: int,
        device: str = "cpu",
        frames: Frames | None = None,
    ) -> TaskData:
        def sets(part: PartName, *, seed: int, count: int, fresh: bool) -> ConstellationSamples:
            return ConstellationSamples(seed=seed, count=count, fresh=fresh, device=device)

        info = self.describe(task, budget=budget, source=source)
        return generated_data(sets, shape=self.shape_of(task), info=info, budget=budget, seed=seed)

    def describe(self, task: str, *, budget: Budget, source: DataSource) -> DataInfo:
        return DataInfo(
            dataset=self.name,
            state=DataState.generated,
            samples="any number",
            sha256=fingerprint([self.name]),
            path="nowhere",
        )

    def parts(self, *, budget: Budget, source: DataSource) -> list[Part]:
        info = self.describe("autoencoding", budget=budget, source=source)
        return [Part("both", info.state, "any", (POINTS, 3), info.sha256, info.path)]


DATASET = Constellations(name="constellations")
