"""Constellations: the corners of a square, a triangle and a square in the plane (an extra dataset).

Kosiorek et al. 2019, section 3.1, numbers as in the authors' code: each pattern is present with
probability ½, turned by up to ±90°, scaled by 1 to 4 (its sides are then 2 to 8), and moved within
24 × 24; the 11 points are shuffled and brought to [-1, 1], both axes alike, by the smallest and
the largest coordinate of them all. The authors take these of a batch; here they are of a sample,
so that a sample is a pure function of (seed, epoch, index).

A model that puts all points of a sample into one segment scores 61 % (3.375 of 5.5 points), where
the best matching is sought sample by sample; 36 % (4 of 11 points) where all patterns are there.
"""

from __future__ import annotations

import numpy as np

from benchmarks.datasets.counter import bits, uniform

NAME = "constellations"
_SQUARE = ((1, 1), (1, 3), (3, 1), (3, 3))
_TRIANGLE = ((1, 2), (3, 1), (3, 3))
_PATTERNS = (_SQUARE, _TRIANGLE, _SQUARE)
_CORNERS = np.array([corner for pattern in _PATTERNS for corner in pattern], np.float64)
_PATTERN = np.repeat(np.arange(len(_PATTERNS)), [len(pattern) for pattern in _PATTERNS])
POINTS, PATTERNS = len(_CORNERS), len(_PATTERNS)
EXTENT, LARGEST = 24.0, 4.0
_DRAWS = 5


def constellations(seed: int, epoch: int, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points float32 (B, 11, 3) of (x, y, presence), and their patterns int64 (B, 11).

    A sample depends on its own index (B,) alone. Points that are absent lie at the origin.
    """
    draws = uniform(bits(seed, epoch, index, 0, draws=_DRAWS * PATTERNS)).astype(np.float64)
    present, turn, size, x, y = np.moveaxis(draws.reshape(-1, PATTERNS, _DRAWS)[:, _PATTERN], 2, 0)
    angle, size = np.pi * (turn - 0.5), 1 + (LARGEST - 1) * size
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    across, down = _CORNERS.T
    points = np.stack(
        [cos * across - sin * down + EXTENT * x, sin * across + cos * down + EXTENT * y], -1
    )
    low, high = points.min((1, 2), keepdims=True), points.max((1, 2), keepdims=True)
    points = 2 * (points - low) / (high - low) - 1
    present = (present < 0.5).astype(np.float64)[..., None]
    everything = np.concatenate([points * present, present], -1).astype(np.float32)
    order = np.argsort(bits(seed, epoch, index, 1, draws=POINTS), axis=1, kind="stable")
    return np.take_along_axis(everything, order[..., None], 1), _PATTERN[order]
