"""Computes exact means, paired differences of two folders, and mean ranks over datasets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from reports.statistics.intervals import ENOUGH_SEEDS, exact_bounds, mean, student


@dataclass(frozen=True)
class Difference:
    """Compares two means over the seeds that both have."""

    ours: float
    """Our mean over these seeds."""
    theirs: float
    n: int
    """Number of seeds that both have."""
    spread: float
    """Standard deviation of the differences of pairs; NaN for fewer than two."""
    equal: bool
    """Whether the two scores of each pair are equal."""
    tested: int = 0
    """The number of test samples if the scores are rates; else 0."""

    @property
    def mean(self) -> float:
        return self.ours - self.theirs

    @property
    def known(self) -> bool:
        """Says whether there is an interval and a p-value.

        There is none for fewer than three pairs, for pairs that are all equal, and where neither
        pairs nor the test set tell anything about the spread.
        """
        enough = self.n >= ENOUGH_SEEDS and math.isfinite(self.spread) and not self.equal
        return enough and bool(self.spread or self.tested)

    def interval(self, level: float) -> tuple[float, float]:
        """Returns the ends of an interval, which excludes 0 exactly where `p` is below `level`.

        It adds the squares of widths, as that of a mean does: of Student's interval of paired
        differences, and of each mean's interval from drawing the test set, as if both erred on
        different test samples. If they err on the same, the interval is too wide.

        Args:
            level: the probability that the interval misses the true difference.

        Returns:
            The low and the high end; NaN twice if there is none.
        """
        if not self.known:
            return math.nan, math.nan
        widest = 1.0 if self.tested else math.inf
        below, above = self._reaches(level)
        return max(-widest, self.mean - below), min(widest, self.mean + above)

    @cached_property
    def p(self) -> float:
        """Returns the two-sided p-value of no difference; NaN if there is no interval."""
        if not self.known:
            return math.nan
        side = 0 if self.mean > 0 else 1
        # The logarithm of the level at which the interval ends at 0.
        low, high = -60.0, 0.0
        for _ in range(60):
            middle = (low + high) / 2
            inside = self._reaches(math.exp(middle))[side] >= abs(self.mean)
            low, high = (middle, high) if inside else (low, middle)
        return math.exp(high)

    def _reaches(self, level: float) -> tuple[float, float]:
        """Returns how far the interval reaches below and above the mean."""
        from scipy.special import ndtri

        seeds = student(self.n - 1, level / 2) * self.spread / math.sqrt(self.n)
        if not self.tested:
            return seeds, seeds
        z = -float(ndtri(level / 2))
        ours, theirs = (exact_bounds(mean, self.tested, z) for mean in (self.ours, self.theirs))
        return (
            math.hypot(seeds, self.ours - ours[0], theirs[1] - self.theirs),
            math.hypot(seeds, ours[1] - self.ours, self.theirs - theirs[0]),
        )


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
    """Compares two scores over the keys (seeds) that both have.

    Args:
        ours, theirs: one score per seed.
        tested: the number of test samples if the scores are rates; else 0.
    """
    keys = sorted(ours.keys() & theirs.keys())
    pairs = [(ours[key], theirs[key]) for key in keys]
    differences = [one - other for one, other in pairs]
    finite = all(map(math.isfinite, differences))
    spread = statistics.stdev(differences) if len(pairs) > 1 and finite else math.nan
    means = [mean([pair[side] for pair in pairs]) for side in (0, 1)]
    equal = bool(pairs) and not any(differences)
    return Difference(means[0], means[1], len(pairs), spread, equal, tested)


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
