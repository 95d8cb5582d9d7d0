"""Statistics for few seeds and few datasets.

Seeds are not datasets: an interval over seeds speaks of one cell, ranks and interquartile means
speak of the datasets at hand, and each function says of how many. Whatever draws, draws from a
generator with a fixed seed: equal values give equal bits.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples: a 2.5 % quantile then rests on 50 of them."""


class Interval(NamedTuple):
    """A mean (or another statistic) with its confidence interval; NaN where there is none."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


class Difference(NamedTuple):
    """A mean of paired differences, its interval, and the two-sided p-value of no difference."""

    mean: float
    low: float
    high: float
    n: int
    p: float


class Ranks(NamedTuple):
    """Mean ranks over complete datasets, and how far apart two must be to differ."""

    mean: Mapping[str, float]
    datasets: int
    critical_difference: float
    """Nemenyi's, at the 5 % level; NaN for fewer than two variants or datasets."""
    p: float
    """Friedman's: could all variants be alike?"""

    @property
    def widest(self) -> float:
        """The largest difference of two mean ranks that there can be."""
        return len(self.mean) - 1

    @property
    def can_tell(self) -> bool:
        """Whether any difference of mean ranks could be significant at all."""
        return self.critical_difference < self.widest


def interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean of `values` with its two-sided Student-t interval.

    The bounds are mean ± t(confidence, n − 1) · s / √n, with s the sample standard deviation. They
    hold for independent, roughly normal values, which finals with fresh seeds are; they speak of
    the variation over seeds alone, not over test samples, and are not clipped to a metric's range.
    One value has no interval, no value has no mean either, and values that are not all finite have
    a mean at most.

    Sums are exact (`math.fsum`, `statistics`), so the order of values changes no digit.
    """
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    if not all(map(math.isfinite, values)):
        return Interval(sum(values) / n, math.nan, math.nan, n)
    mean = statistics.fmean(values)
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    from scipy.special import stdtrit  # a fifth of the import time of scipy.stats

    t = float(stdtrit(n - 1, (1 + confidence) / 2))
    half = t * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> Difference:
    """`ours` − `theirs` over the keys (seeds) that both have, by the paired t-test.

    Finals of all variants share their seeds, so what a seed does to both cancels. p is NaN below
    two pairs; without any spread it is 0 or 1.
    """
    keys = sorted(ours.keys() & theirs.keys())
    found = interval([ours[key] - theirs[key] for key in keys])
    if found.n < 2 or not math.isfinite(found.half_width):
        return Difference(*found, math.nan)
    from scipy.special import stdtr, stdtrit

    if found.half_width == 0:
        return Difference(*found, 0.0 if found.mean else 1.0)
    error = found.half_width / float(stdtrit(found.n - 1, 0.975))
    return Difference(*found, float(2 * stdtr(found.n - 1, -abs(found.mean) / error)))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method; NaN stays and counts not."""
    known = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    corrected = [math.nan] * len(p)
    highest = 0.0
    for step, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - step)))
        corrected[place] = highest
    return corrected


def interquartile_mean(values: npt.ArrayLike, axis: int = -1) -> Values:
    """The mean of the middle half: the lowest and highest ⌊n/4⌋ of n values are left out."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    n = ordered.shape[axis]
    kept = np.arange(n // 4, n - n // 4)
    middle: Values = np.take(ordered, kept, axis=axis).mean(axis=axis)
    return middle


def bootstrap(
    strata: Sequence[Sequence[float]],
    statistic: Callable[..., Values] = np.mean,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`statistic` of all values with its percentile bootstrap interval, resampled per stratum.

    A stratum holds the seeds of one dataset: drawing within it keeps each dataset's weight. The
    interval is of these datasets, not of datasets at large. Below some ten values in all it is too
    narrow (docs/reading-the-tables.md has how much), so a cell's few seeds get `interval` instead.
    `n` counts values; without any, or with one that is not finite, all is NaN.
    """
    pooled = np.concatenate([np.asarray(s, dtype=np.float64) for s in strata] or [np.empty(0)])
    if not len(pooled) or not np.isfinite(pooled).all():
        return Interval(math.nan, math.nan, math.nan, len(pooled))
    draw = np.random.default_rng(seed)
    drawn = [
        np.asarray(values, dtype=np.float64)[
            draw.integers(len(values), size=(RESAMPLES, len(values)))
        ]
        for values in strata
        if len(values)
    ]
    resampled = statistic(np.concatenate(drawn, axis=1), axis=-1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(statistic(pooled, axis=-1)), float(low), float(high), len(pooled))


def mean_ranks(losses: Mapping[str, Sequence[float]]) -> Ranks:
    """Mean ranks of variants over datasets, 1 the best, ties shared.

    Args:
        losses: of each variant one number a dataset, in the same order; lower is better.
    """
    table = np.array([list(row) for row in losses.values()], dtype=np.float64)
    k, n = table.shape if table.size else (len(losses), 0)
    if n == 0:
        return Ranks(dict.fromkeys(losses, math.nan), 0, math.nan, math.nan)
    from scipy.special import chdtrc

    lower = (table[:, None] > table[None, :]).sum(axis=1)
    alike = (table[:, None] == table[None, :]).sum(axis=1)
    ranks = lower + (alike + 1) / 2
    means = ranks.mean(axis=1)
    named = {name: float(mean) for name, mean in zip(losses, means, strict=True)}
    if k < 2 or n < 2:
        return Ranks(named, n, math.nan, math.nan)
    # Demšar 2006, section 3.2.2: the studentised range for infinitely many degrees of freedom.
    q = _studentized_range(0.95, k) / math.sqrt(2)
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())
    between = n * float(((means - (k + 1) / 2) ** 2).sum())
    p = float(chdtrc(k - 1, between * n * (k - 1) / spread)) if spread else 1.0
    return Ranks(named, n, q * math.sqrt(k * (k + 1) / (6 * n)), p)


def _studentized_range(share: float, k: int) -> float:
    """The quantile of the range of k standard normals; scipy.stats takes a second to import."""
    from scipy.special import ndtr

    z = np.linspace(-8, 8, 2001)
    density = k * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    low, high = 0.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        below = float(np.trapezoid(density * (ndtr(z + middle) - ndtr(z)) ** (k - 1), z))
        low, high = (middle, high) if below < share else (low, middle)
    return low
