"""Tests that constellations are as published, and pure functions of (seed, epoch, index)."""

from __future__ import annotations

import itertools
import math

import numpy as np

from benchmarks.datasets.constellations import CALL, PATTERNS, POINTS, constellations
from benchmarks.datasets.random_numbers import random_words, uniform_floats
from benchmarks.tasks.segmentation import matched_points


def test_a_sample_depends_on_its_own_index_seed_and_epoch() -> None:
    points, pattern = constellations(3, 1, np.arange(8))
    some, theirs = constellations(3, 1, np.array([6, 2]))
    assert np.array_equal(points[[6, 2]], some)
    assert np.array_equal(pattern[[6, 2]], theirs)
    for other in ((4, 1), (3, 2)):
        assert not np.array_equal(constellations(*other, np.arange(8))[0], points)


def test_patterns_are_two_squares_and_a_triangle_shuffled() -> None:
    points, pattern = constellations(0, 0, np.arange(2000))
    assert points.shape == (2000, POINTS, 3)
    assert points.dtype == np.float32
    assert np.array_equal(np.sort(pattern, 1)[5], np.repeat(range(PATTERNS), [4, 3, 4]))
    assert len(np.unique(pattern[:, 0])) == 3
    assert np.abs(points).max() <= 1
    for k in range(PATTERNS):
        share = points[..., 2][pattern == k].reshape(2000, -1)
        assert (share == share[:, :1]).all()
        assert abs(share.mean() - 0.5) < 0.04
    assert (points[points[..., 2] == 0] == 0).all()
    for sample, which in zip(points[:50], pattern[:50], strict=True):
        for square in (0, 2):
            corners = sample[which == square]
            if corners[0, 2] == 0:
                continue
            sides = np.sort(
                [np.linalg.norm(a[:2] - b[:2]) for a, b in itertools.combinations(corners, 2)]
            )
            assert np.allclose(sides[:4], sides[0], atol=1e-5)
            assert np.allclose(sides[4:], sides[0] * 2**0.5, atol=1e-5)


def textbook(seed: int, epoch: int, index: int) -> list[tuple[int, float, float, float]]:
    """Computes pattern, x, y and presence of the 11 points of a sample, not shuffled or scaled.

    This follows the authors' description point by point: rotation by up to ±90°, scale 1 to 4,
    translation by up to 24 divided by the scale.
    """
    draws = (
        uniform_floats(random_words(seed, epoch, np.array([index]), 0, draws=15))
        .reshape(3, 5)
        .tolist()
    )
    square, triangle = [(1, 1), (1, 3), (3, 1), (3, 3)], [(1, 2), (3, 1), (3, 3)]
    points = []
    for k, corners in enumerate((square, triangle, square)):
        there, turn, size, x, y = draws[k]
        angle, scale = math.radians(180 * turn - 90), 1 + 3 * size
        for across, down in corners:
            turned = scale * complex(across, down) * complex(math.cos(angle), math.sin(angle))
            points.append(
                (k, turned.real + 24 * x / scale, turned.imag + 24 * y / scale, float(there < 0.5))
            )
    return points


def test_points_are_those_of_the_authors_generator() -> None:
    """Known mistakes: translation not divided by the scale; extremes of one sample only."""
    call = [textbook(5, 2, index) for index in range(CALL, 2 * CALL)]
    numbers = [number for sample in call for _, x, y, _ in sample for number in (x, y)]
    low, high = min(numbers), max(numbers)
    offsets = [0, 17, CALL - 1]
    # The last index is in the next call, which has other extremes.
    found, pattern = constellations(5, 2, CALL + np.array([*offsets, CALL]))
    for n, offset in enumerate(offsets):
        theirs = sorted(
            (k, *((2 * (v - low) / (high - low) - 1) * there for v in (x, y)), there)
            for k, x, y, there in call[offset]
        )
        ours = sorted((k, *point) for k, point in zip(pattern[n], found[n].tolist(), strict=True))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_samples_of_a_call_reach_from_border_to_border_together() -> None:
    """One call of the authors' generator scales 3,200 samples by the same extremes."""
    assert CALL == 100 * 32
    points, _ = constellations(0, 0, np.arange(CALL))
    there = points[points[..., 2] == 1][:, :2]
    assert -1 <= there.min() < -0.9
    assert 0.9 < there.max() <= 1
    extents = np.ptp(points[points[..., 2].all(1)][..., :2], axis=1).max(1)
    assert np.median(extents) < 1.5


def test_segments_are_matched_to_patterns_as_by_brute_force() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        segments, pattern = generator.integers(4, size=11), generator.integers(3, size=11)
        presence = generator.integers(2, size=11)
        best = max(
            sum(
                presence[n] > 0 and segments[n] < 4 and names[segments[n]] == pattern[n]
                for n in range(11)
            )
            for names in itertools.permutations([0, 1, 2, 9])
        )
        assert matched_points(segments, pattern, presence) == best


def test_one_segment_for_all_is_worth_its_largest_pattern() -> None:
    points, pattern = constellations(0, 0, np.arange(4000))
    presence = points[..., 2]
    right = sum(
        matched_points(np.zeros(POINTS, np.int64), p, d)
        for p, d in zip(pattern, presence, strict=True)
    )
    assert abs(right / presence.sum() - 3.375 / 5.5) < 0.01
