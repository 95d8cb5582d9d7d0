"""Constellations: what they show, and that they are pure functions of (seed, epoch, index)."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.datasets.constellations import PATTERNS, POINTS, constellations
from benchmarks.tasks.segmentation import matched


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


def test_a_full_sample_reaches_from_border_to_border() -> None:
    points, _ = constellations(0, 0, np.arange(500))
    full = points[points[..., 2].all(1)][..., :2]
    assert np.allclose(full.min((1, 2)), -1)
    assert np.allclose(full.max((1, 2)), 1)


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
        assert matched(segments, pattern, presence) == best


def test_one_segment_for_all_is_worth_its_largest_pattern() -> None:
    points, pattern = constellations(0, 0, np.arange(4000))
    presence = points[..., 2]
    right = sum(
        matched(np.zeros(POINTS, np.int64), p, d) for p, d in zip(pattern, presence, strict=True)
    )
    assert abs(right / presence.sum() - 3.375 / 5.5) < 0.01
