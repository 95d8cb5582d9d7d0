"""Computes 95 % intervals of mean test scores that stay inside the metric's range.

Two things make a mean uncertain: another seed gives another network, and another test set gives
another score. The first shrinks with the number of seeds; the second does not, since all seeds are
scored on the same test set. An interval's half-width is the root of the sum of the squares of both
half-widths: exact where one of the two is 0, slightly wide between.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

ENOUGH_SEEDS = 3
"""With fewer seeds there is no interval and no comparison."""
NORMAL = 1.959964
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Scale:
    """Maps the range of a metric to a line without ends, on which intervals are symmetrical.

    The map is the logit for a range with two ends, the logarithm for a range with one end, and the
    identity otherwise.
    """

    low: float = -math.inf
    high: float = math.inf

    def stretch(self, score: float) -> float:
        if math.isinf(self.low):
            return score
        if math.isinf(self.high):
            return math.log(score - self.low)
        return math.log((score - self.low) / (self.high - score))

    def slope(self, score: float) -> float:
        """Returns the derivative of `stretch`."""
        if math.isinf(self.low):
            return 1.0
        if math.isinf(self.high):
            return 1 / (score - self.low)
        return 1 / (score - self.low) + 1 / (self.high - score)

    def shrink(self, place: float) -> float:
        """Returns the score that `stretch` maps to a place on the line."""
        if math.isinf(self.low):
            return place
        if math.isinf(self.high):
            return self.low + math.exp(place)
        return self.low + (self.high - self.low) * (1 + math.tanh(place / 2)) / 2


RATE, ERROR, ANY = Scale(0, 1), Scale(low=0), Scale()
SCALES = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "exact_match", "digit_accuracy"), RATE),
    **dict.fromkeys(("lin_pred", "lin_match", "lin_pred_prior", "lin_match_prior"), RATE),
    "segmentation_accuracy": RATE,
    **dict.fromkeys(("mse", "mae", "loss"), ERROR),
    "ssim": Scale(-1, 1),
    **dict.fromkeys(("psnr", "nll"), ANY),
}
"""By metric; `ANY` for all others. A `RATE` is a share of test samples that were answered right."""


class Estimate(NamedTuple):
    """Holds a mean with its 95 % interval; the ends are NaN if there is none."""

    mean: float
    low: float
    high: float
    n: int
    """Number of seeds."""
    of: str
    """What the interval includes, or why there is none."""


@dataclass(frozen=True)
class SeedScores:
    """Holds a cell's test scores by one metric, one score per seed."""

    values: Sequence[float]
    metric: str
    tested: int = 0
    """The number of test samples behind a rate; 0 if unknown, or if the metric is no rate."""
    deterministic: bool = False
    """Whether all seeds are equal because nothing is random."""

    @property
    def scale(self) -> Scale:
        return SCALES.get(self.metric, ANY)

    @cached_property
    def mean(self) -> float:
        return mean(self.values)

    @cached_property
    def _inner(self) -> float:
        """Moves the mean of a rate inside 0 and 1, by half a test sample."""
        if self.tested:
            return (self.mean * self.tested + 0.5) / (self.tested + 1)
        return self.mean

    @property
    def slope(self) -> float:
        """Returns the derivative of the scale at the mean."""
        return self.scale.slope(self._inner)

    @property
    def usable(self) -> bool:
        """Says whether all scores are finite, and their mean can be stretched."""
        inside = self.scale.low < self._inner < self.scale.high
        return inside and all(map(math.isfinite, self.values))

    @property
    def comparable(self) -> bool:
        """Says whether there are enough seeds for an interval and a comparison."""
        return self.usable and (self.deterministic or len(self.values) >= ENOUGH_SEEDS)

    @property
    def degrees(self) -> int:
        """Returns the degrees of freedom of `seed_variance`."""
        return 0 if self.deterministic else len(self.values) - 1

    @cached_property
    def seed_variance(self) -> float:
        """Estimates the variance of the stretched scores between seeds; 0 if there is one seed."""
        if self.degrees < 1:
            return 0.0
        return float((statistics.stdev(self.values) * self.slope) ** 2)

    @cached_property
    def test_variance(self) -> float:
        """Returns the variance of the stretched mean from drawing the test set; 0 if it is unknown.

        That of a rate is binomial. It holds for seeds that err on the same samples, and is too
        large for seeds that err on different ones. Errors such as `mse` would need the spread over
        test samples, which records do not have.
        """
        return self.slope / self.tested if self.tested else 0.0

    def bounds(self, reach: float) -> tuple[float, float]:
        """Returns the scores that are `reach` below and above the mean on the scale."""
        place = self.scale.stretch(self._inner)
        low, high = self.scale.shrink(place - reach), self.scale.shrink(place + reach)
        return min(low, self.mean), max(high, self.mean)


def mean(values: Sequence[float]) -> float:
    """Averages with an exact sum, so that the order of values changes no digit; NaN for none."""
    if not all(map(math.isfinite, values)):
        return sum(values) / len(values)
    return statistics.fmean(values) if values else math.nan


def estimate(scores: SeedScores) -> Estimate:
    """Returns the mean with its 95 % interval.

    There is no interval for fewer than three seeds, for scores that are not finite, and where
    neither the seeds nor the test set show a spread.
    """
    n, of = len(scores.values), _of(scores)
    reach = _reach(scores) if scores.comparable else 0.0
    low, high = scores.bounds(reach) if reach else (math.nan, math.nan)
    return Estimate(scores.mean, low, high, n, of)


def sampling_bounds(scores: SeedScores) -> tuple[float, float]:
    """Returns the bounds of a 95 % interval that covers only the sampling error of the test set.

    Both bounds are the mean if the sampling error is unknown.
    """
    if not scores.usable:
        return scores.mean, scores.mean
    return scores.bounds(NORMAL * math.sqrt(scores.test_variance))


def student(degrees: float) -> float:
    """Returns the 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit  # a fifth of the import time of scipy.stats

    return float(stdtrit(degrees, 0.975))


def _reach(scores: SeedScores) -> float:
    seeds = scores.seed_variance / len(scores.values)
    t = student(scores.degrees) if seeds else 0.0
    return math.sqrt(t**2 * seeds + NORMAL**2 * scores.test_variance)


def _of(scores: SeedScores) -> str:
    if not scores.values:
        return ""
    if not all(map(math.isfinite, scores.values)):
        return "not finite"
    if scores.deterministic:
        return "deterministic: test set alone" if scores.test_variance else "deterministic"
    if len(scores.values) < ENOUGH_SEEDS:
        return "too few seeds"
    if not scores.usable or not (scores.seed_variance or scores.test_variance):
        return "no spread"
    return "seeds and test set" if scores.test_variance else "seeds alone"
