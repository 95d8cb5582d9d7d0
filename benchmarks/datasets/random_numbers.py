"""Computes counter-based random numbers: pure functions of integers, equal on all machines."""

from __future__ import annotations

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)


def random_words(*axes: int | np.ndarray, draws: int) -> np.ndarray:
    """Computes random words of 64 bits from integers.

    A row of words depends only on the axes of this row. It is the sequence of SplitMix64 (Steele,
    Lea, Flood 2014), started from a state into which the axes are mixed one after the other.

    Args:
        axes: integers, or integer arrays (n,), such as seed, epoch and indices of samples.
        draws: number of words per row.

    Returns:
        (n, draws) uint64; (1, draws) if no axis is an array.
    """
    state = np.zeros(1, np.uint64)
    for axis in axes:
        words = axis if isinstance(axis, np.ndarray) else np.array([axis % 2**64], np.uint64)
        state = _mix(state + _STEP + words.astype(np.uint64))
    return _mix(state[:, None] + _STEP * np.arange(1, draws + 1, dtype=np.uint64))


def integers_below(words: np.ndarray, limit: int | np.ndarray) -> np.ndarray:
    """Converts random words to integers in [0, limit).

    Args:
        words: uint64 of any shape.
        limit: the limit, less than 2³², or an array of limits.

    Returns:
        int64 of the same shape.
    """
    return (((words >> np.uint64(32)) * np.asarray(limit, np.uint64)) >> np.uint64(32)).astype(
        np.int64
    )


def uniform_floats(words: np.ndarray) -> np.ndarray:
    """Converts random words to numbers in [0, 1).

    Args:
        words: uint64 of any shape.

    Returns:
        float32 of the same shape, with 24 random bits each, so that they are exact.
    """
    return (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
