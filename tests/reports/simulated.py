"""Draws scores with known truth, for tests of levels and coverages."""

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.random import Generator
from scipy.special import expit

from reports.statistics.intervals import SeedScores

EQUAL = 7
"""As many variants as a task has."""


def true_rates(draw: Generator, tables: int, p: float, spread: float, seeds: int) -> np.ndarray:
    """Draws the accuracy that each seed's network would have on infinitely many images.

    Args:
        draw: a NumPy generator.
        tables: how many tables to draw.
        p: the mean over infinitely many seeds.
        spread: the standard deviation between seeds, on the logit: 0.2 is 5 points of a hundred
            where half of the answers are right, and 0.2 points where 99 of 100 are.
        seeds: number of seeds.

    Returns:
        One row per table, one column per seed.
    """
    return expit(_middle(p, spread) + spread * draw.normal(size=(tables, seeds)))


@cache
def _middle(p: float, spread: float) -> float:
    """Finds the logit around which rates spread whose mean is p."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights /= weights.sum()
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if expit(middle + spread * nodes) @ weights < p else (low, middle)
        )
    return low


def right_answers(
    draw: Generator, true: np.ndarray, tested: int, agreement: float = 1.0
) -> np.ndarray:
    """Draws how many images of one test set each network answers right.

    Args:
        draw: a NumPy generator.
        true: the networks' accuracies; one test set per row.
        tested: number of test images.
        agreement: on this share of the images, a network is right wherever a worse one is; on the
            others, each is right independently.
    """
    common = round(agreement * tested)
    order = np.argsort(true, axis=1)
    ordered = np.take_along_axis(true, order, axis=1)
    right = np.zeros(true.shape, dtype=np.int64)
    before, known = np.zeros(len(true)), np.zeros(len(true), dtype=np.int64)
    for place in range(true.shape[1]):
        more = np.clip((ordered[:, place] - before) / (1 - before), 0, 1)
        known = known + draw.binomial(common - known, more)
        right[:, place], before = known, ordered[:, place]
    found = np.empty_like(right)
    np.put_along_axis(found, order, right, axis=1)
    return found + draw.binomial(tested - common, true)


def rates(
    draw: Generator,
    tables: int,
    p: float,
    spread: float,
    seeds: int,
    tested: int,
    *,
    agreement: float = 1.0,
) -> list[SeedScores]:
    """Draws accuracies of one variant, one `SeedScores` per table.

    The arguments are those of `true_rates` and `right_answers`. Scores are multiples of
    1 / `tested`; if that is 0, they are the accuracies on infinitely many images.
    """
    true = true_rates(draw, tables, p, spread, seeds)
    scores = right_answers(draw, true, tested, agreement) / tested if tested else true
    return as_scores(scores, tested)


def as_scores(scores: np.ndarray, tested: int) -> list[SeedScores]:
    return [SeedScores(tuple(row), "accuracy", tested) for row in scores.tolist()]


def errors(
    draw: Generator, tables: int, middle: float, spread: float, seeds: int
) -> list[SeedScores]:
    """Draws errors of one variant with the true mean `middle`; `spread` is relative to it."""
    noise = np.exp(spread * draw.normal(size=(tables, seeds)) - spread**2 / 2)
    return [SeedScores(tuple(row), "mse") for row in (middle * noise).tolist()]


def share(truths: Iterable[bool] | Sequence[bool]) -> float:
    found = [*truths]
    return sum(found) / len(found)
