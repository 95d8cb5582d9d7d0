"""Random numbers without a history: a hash of where they are used, the same on every machine."""

from __future__ import annotations

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)


def random_words(*axes: int | np.ndarray, draws: int) -> np.ndarray:
    """Random 64-bit words, uint64 (n, draws), a pure function of the axes row by row.

    Axes are integers or integer arrays (n,). The words of a row are SplitMix64's sequence (Steele,
    Lea, Flood 2014), started from a state that mixes in one axis after the other.
    """
    state = np.zeros(1, np.uint64)
    for axis in axes:
        words = axis if isinstance(axis, np.ndarray) else np.array([axis % 2**64], np.uint64)
        state = _mix(state + _STEP + words.astype(np.uint64))
    return _mix(state[:, None] + _STEP * np.arange(1, draws + 1, dtype=np.uint64))


def integers_below(words: np.ndarray, limit: int | np.ndarray) -> np.ndarray:
    """Integers in [0, limit), int64, from random words; limit < 2³²."""
    return (((words >> np.uint64(32)) * np.asarray(limit, np.uint64)) >> np.uint64(32)).astype(
        np.int64
    )


def uniform_floats(words: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), float32 of 24 random bits, so exact."""
    return (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
