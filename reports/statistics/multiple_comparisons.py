"""Decides which variants may be the best: multiple comparisons with the best (Hsu 1984).

The truly best variant keeps its place among those that may be best in at least 95 of 100 tables,
although the best is chosen from the same scores that it is compared by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from reports.statistics.intervals import SeedScores, student

LEVEL = 0.05


Verdict = Literal["best", "may be best", "worse", "too few seeds"]


class Comparison(NamedTuple):
    """Holds how one variant compares with the best of several."""

    mark: Verdict
    at_most: float
    """It is at most so much behind the truly best one: all variants at once, in at least 95 of 100
    tables. NaN if there are too few seeds."""


class _Place(NamedTuple):
    """Holds a mean and its bounds at Dunnett's critical value; higher is better."""

    low: float
    mean: float
    high: float


def compare_with_best(variants: Sequence[SeedScores], direction: str) -> list[Comparison]:
    """Compares variants, on one dataset and by one metric, with the best of them.

    A variant is worse if its mean is below that of another by more than Dunnett's one-sided
    critical value times the standard error of the difference. The variance between seeds is pooled
    over all variants on the metric's scale. A variant whose seeds vary more than that keeps its own
    variance, with Student's critical value for its own few seeds where that is larger: without
    this, a best variant that varies more would be called worse in up to 22 of 100 tables. The
    sampling error of the test set is added for each variant; it does not shrink with the number of
    seeds.

    Args:
        variants: the scores, each `comparable`.
        direction: `maximize` or `minimize`, which says whether a high or a low score is better.

    Returns:
        One comparison per variant, in the same order. Marks are monotone in the mean. All are `too
        few seeds` if several variants have no degree of freedom between them.
    """
    if len(variants) == 1:
        return [Comparison("best", 0.0)]
    degrees = sum(scores.degrees for scores in variants)
    if not degrees:
        return [Comparison("too few seeds", math.nan) for _ in variants]
    pooled = math.fsum(s.seed_variance * s.degrees for s in variants) / degrees
    known = critical_value(len(variants) - 1, math.inf)
    pool = critical_value(len(variants) - 1, degrees)
    places = [_place(scores, pooled, pool, known, direction) for scores in variants]
    worse = _monotone(places, [_is_worse(place, places) for place in places])
    best: Verdict = "best" if worse.count(False) == 1 else "may be best"
    return [
        Comparison("worse" if loses else best, _at_most(place, places))
        for place, loses in zip(places, worse, strict=True)
    ]


@cache
def critical_value(rivals: int, degrees: float) -> float:
    """Returns Dunnett's one-sided 5 % critical value: the largest of several t statistics.

    The statistics compare one variant with each of its rivals, all of equal size, so that their
    correlation is 1/2.

    Args:
        rivals: the number of other variants.
        degrees: degrees of freedom of the variance; infinite for a known variance.
    """
    from scipy.special import ndtr

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    spreads, shares = _spreads(degrees)
    low, high = 0.0, 200.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        inside = ndtr(nodes + math.sqrt(2) * middle * spreads[:, None]) ** rivals @ weights
        low, high = (middle, high) if shares @ inside < 1 - LEVEL else (low, middle)
    return high


def _spreads(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns values of √(χ²/degrees), and the probability of each, for an integral over both."""
    if math.isinf(degrees):
        return np.ones(1), np.ones(1)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    width = 12 / math.sqrt(2 * degrees)
    low, high = max(0.0, 1 - width), 1 + width
    spreads = (low + high) / 2 + (high - low) / 2 * nodes
    density = (degrees - 1) * np.log(spreads) - degrees / 2 * (spreads**2 - 1)
    shares = weights * np.exp(density - density.max())
    return spreads, shares / shares.sum()


def _place(scores: SeedScores, pooled: float, pool: float, known: float, direction: str) -> _Place:
    seeds = 0.0
    if scores.degrees:
        own = max(pool, student(scores.degrees, LEVEL))
        seeds = max(pool * math.sqrt(pooled), own * math.sqrt(scores.seed_variance))
    low, high = scores.bounds(seeds / math.sqrt(len(scores.values)), known)
    if direction == "maximize":
        return _Place(low, scores.mean, high)
    return _Place(-high, -scores.mean, -low)


def _is_worse(place: _Place, places: Sequence[_Place]) -> bool:
    """Says whether the difference from any other is larger than its reach.

    The reach of a difference of two means is the root of the summed squares of both reaches
    (Zou and Donner 2008). Where neither has any spread, nothing can be said.
    """
    reaches = ((o, math.hypot(o.mean - o.low, place.high - place.mean)) for o in places)
    return any(other.mean - place.mean > reach > 0 for other, reach in reaches)


def _monotone(places: Sequence[_Place], worse: Sequence[bool]) -> list[bool]:
    """Takes `worse` from whatever stands above one that may be best."""
    candidates = [place.mean for place, loses in zip(places, worse, strict=True) if not loses]
    return [place.mean < min(candidates) for place in places]


def _at_most(place: _Place, places: Sequence[_Place]) -> float:
    return max(
        0.0,
        *(
            other.mean - place.mean + math.hypot(other.high - other.mean, place.mean - place.low)
            for other in places
            if other is not place
        ),
    )
