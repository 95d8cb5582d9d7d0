"""The uncertainty of a mean over few seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean with its confidence interval; NaN where there is none."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


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
