"""Computes 95 % intervals of mean test scores that stay inside the metric's range.

Two things make a mean uncertain: another seed gives another network, and another test set gives
another score. The first shrinks with the number of seeds; the second does not, since all seeds are
scored on the same test set. Each has its own interval: Student's for seeds, and for the test set
the exact one of a share (Clopper and Pearson 1934). The squares of their widths are added, apart
below and above the mean (Zou and Donner 2008).
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
    """Stretches a metric's range to a line without ends, on which seeds spread evenly.

    The map is the logit for a range with two ends, the logarithm for a range with one end, and the
    identity otherwise.
    """

    low: float = -math.inf
    high: float = math.inf

    def stretch(self, score: float) -> float:
        """Returns the place of a score on the line; infinite at an end of the range."""
        if score <= self.low:
            return -math.inf
        if score >= self.high:
            return math.inf
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

    def sampling(self, z: float) -> tuple[float, float]:
        """Bounds what the same networks would score on other test sets.

        The bounds are those of a share of test samples. They hold for seeds that err on the same
        samples, and are too wide for seeds that err on different ones. Errors such as `mse` would
        need the spread over test samples, which records do not have.

        Args:
            z: a normal quantile, such as 1.96 for 95 %.

        Returns:
            The low and the high bound; the mean twice if the test set is unknown.
        """
        if not self.tested:
            return self.mean, self.mean
        return exact_bounds(self.mean, self.tested, z)

    def bounds(self, seeds: float, z: float) -> tuple[float, float]:
        """Returns the ends of an interval of the mean, which includes seeds and the test set.

        Args:
            seeds: the half-width of the interval that includes seeds alone, on the scale.
            z: the normal quantile for the test set.
        """
        stretch, shrink = self.scale.stretch, self.scale.shrink
        low, high = self.sampling(z)
        place = stretch(self._inner)
        below = math.hypot(seeds, place - stretch(low))
        above = math.hypot(seeds, stretch(high) - place)
        return min(shrink(place - below), self.mean), max(shrink(place + above), self.mean)


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
    low = high = math.nan
    if scores.comparable and (scores.tested or scores.seed_variance):
        error = math.sqrt(scores.seed_variance / n)
        low, high = scores.bounds(student(scores.degrees) * error if error else 0.0, NORMAL)
    return Estimate(scores.mean, low, high, n, of)


def sampling_bounds(scores: SeedScores) -> tuple[float, float]:
    """Returns the bounds of the test set's 95 % sampling error alone; the mean twice if unknown."""
    return scores.sampling(NORMAL) if scores.usable else (scores.mean, scores.mean)


def exact_bounds(share: float, tested: int, z: float) -> tuple[float, float]:
    """Returns the ends of Clopper and Pearson's interval of a share of samples.

    Args:
        share: from 0 to 1. A mean over seeds need not be a whole number of samples.
        tested: the number of samples.
        z: a normal quantile, which gives the level: 1.96 for 95 %.
    """
    from scipy.special import betaincinv, ndtr

    right, wrong, tail = share * tested, (1 - share) * tested, ndtr(-z)
    low = betaincinv(right, wrong + 1, tail) if right > 0 else 0.0
    high = 1 - betaincinv(wrong, right + 1, tail) if wrong > 0 else 1.0
    return min(float(low), share), max(float(high), share)


def student(degrees: float, tail: float = 0.025) -> float:
    """Returns the value that Student's t exceeds with probability `tail`."""
    from scipy.special import stdtrit  # a fifth of the import time of scipy.stats

    return -float(stdtrit(degrees, tail))


def _of(scores: SeedScores) -> str:
    if not scores.values:
        return ""
    if not all(map(math.isfinite, scores.values)):
        return "not finite"
    if scores.deterministic:
        return "deterministic: test set alone" if scores.tested else "deterministic"
    if len(scores.values) < ENOUGH_SEEDS:
        return "too few seeds"
    if not scores.usable or not (scores.seed_variance or scores.tested):
        return "no spread"
    return "seeds and test set" if scores.tested else "seeds alone"
