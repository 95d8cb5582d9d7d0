"""Computes exact means, paired differences of two folders, and mean ranks over datasets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from reports.intervals import ENOUGH_SEEDS, mean, student


class Difference(NamedTuple):
    """Holds a mean of paired differences, its interval, and its two-sided p-value."""

    mean: float
    low: float
    high: float
    n: int
    p: float


class Ranks(NamedTuple):
    """Holds mean ranks over datasets that all variants cover, with the critical difference."""

    mean: Mapping[str, float]
    datasets: int
    critical_difference: float
    """Nemenyi's, at the 5 % level; NaN for fewer than two variants or datasets."""
    p: float
    """Friedman's p-value of no difference between variants."""

    @property
    def widest(self) -> float:
        """Returns the largest possible difference of two mean ranks."""
        return len(self.mean) - 1

    @property
    def can_tell(self) -> bool:
        """Says whether any difference of mean ranks could be significant."""
        return self.critical_difference < self.widest


def paired(
    ours: Mapping[Any, float], theirs: Mapping[Any, float], *, tested: int = 0
) -> Difference:
    """Averages `ours` − `theirs` over the keys (seeds) that both have, and tests it for 0.

    The test is Student's on the differences. A difference of rates d on m test samples needs at
    least |d|·m samples that one answers right and the other wrong, so its variance from drawing
    the test set is at least some |d|/m. This is added, with one more such sample, since equal
    differences of a few seeds are often luck.

    Args:
        tested: the number of test samples if the scores are rates; else 0.

    Returns:
        The difference. Interval and p are NaN for fewer than three pairs, and without any spread;
        p is 1 if all pairs are equal.
    """
    keys = sorted(ours.keys() & theirs.keys())
    differences = [ours[key] - theirs[key] for key in keys]
    n, found = len(keys), mean(differences)
    if n and not any(differences):
        return Difference(0.0, 0.0, 0.0, n, 1.0)
    nothing = Difference(found, math.nan, math.nan, n, math.nan)
    if n < ENOUGH_SEEDS or not math.isfinite(found):
        return nothing
    by_chance = (abs(found) + 1 / tested) / tested if tested else 0.0
    error = math.sqrt(statistics.variance(differences) / n + by_chance)
    if not error:
        return nothing
    from scipy.special import stdtr

    half = student(n - 1) * error
    widest = 1.0 if tested else math.inf
    low, high = max(-widest, found - half), min(widest, found + half)
    return Difference(found, low, high, n, float(2 * stdtr(n - 1, -abs(found) / error)))


def holm(p: Sequence[float]) -> list[float]:
    """Corrects p-values for their number by Holm's step-down method; NaN is not counted."""
    known = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    corrected = [math.nan] * len(p)
    highest = 0.0
    for step, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - step)))
        corrected[place] = highest
    return corrected


def mean_ranks(losses: Mapping[str, Sequence[float]]) -> Ranks:
    """Computes mean ranks of variants over datasets; 1 is best, equal losses share a rank.

    Args:
        losses: for each variant one number per dataset, in the same order; lower is better.
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
    """Computes a quantile of the range of k standard normals.

    `scipy.stats` has it, but takes a second to import.
    """
    from scipy.special import ndtr

    z = np.linspace(-8, 8, 2001)
    density = k * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    low, high = 0.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        below = float(np.trapezoid(density * (ndtr(z + middle) - ndtr(z)) ** (k - 1), z))
        low, high = (middle, high) if below < share else (low, middle)
    return low
