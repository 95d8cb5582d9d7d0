"""Computes skills and ranks of variants over all datasets of a task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.results import Cell, Results
from reports.statistics.floor_scores import UNTRAINED, highest, primary_floors
from reports.statistics.intervals import NORMAL, RATE, Estimate, SeedScores, student
from reports.statistics.means import Ranks, mean_ranks
from reports.statistics.ranking import seed_scores


class Error(NamedTuple):
    """Holds a variant's error on one dataset, as a share of the error of the best trivial answer.

    It is 1 for a variant that is no better than that answer, and 0 for one without any error.
    """

    scores: SeedScores
    floor: float
    """The error of the best trivial answer."""

    @property
    def mean(self) -> float:
        return _error(self.scores.mean, self.scores) / self.floor

    @property
    def seed_variance(self) -> float:
        """Returns the variance of the mean from seeds."""
        return self.scores.seed_variance * self._per_scale**2 / len(self.scores.values)

    def sampling(self, z: float) -> tuple[float, float]:
        """Returns the bounds from drawing the test set, as `SeedScores.sampling` does."""
        bounds = (_error(end, self.scores) / self.floor for end in self.scores.sampling(z))
        low, high = sorted(bounds)
        return low, high

    @property
    def _per_scale(self) -> float:
        return 1 / self.scores.slope / self.floor


@dataclass(frozen=True)
class Across:
    """Holds how the variants of a task and profile compare over all its datasets."""

    task: str
    profile: str
    datasets: tuple[str, ...]
    """Datasets on which any variant has finals; of datasets with equal data the first alone."""
    covered: dict[str, int]
    """For each variant the number of these datasets on which it has finals."""
    ranks: Ranks
    """Mean ranks of the variants that have finals on all of these datasets."""
    skills: dict[str, Estimate]
    """For each variant its skill over the datasets on which it has finals."""
    doubles: dict[str, str]
    """For each dataset that was left out the dataset with equal data."""


def across(results: Results) -> Iterator[Across]:
    """Yields one comparison per task and profile that has finals on more than one dataset."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in results.cells:
        if cell.scored:
            groups.setdefault((cell.task, cell.profile), []).append(cell)
    for (task, profile), members in groups.items():
        doubles = _doubles(members)
        own: dict[str, dict[str, Cell]] = {}
        for cell in members:
            dataset = doubles.get(cell.dataset, cell.dataset)
            own.setdefault(cell.variant, {}).setdefault(dataset, cell)
        datasets = tuple(dict.fromkeys(dataset for cells in own.values() for dataset in cells))
        if len(datasets) < 2:
            continue
        losses = {v: [_loss(cells[d]) for d in datasets if d in cells] for v, cells in own.items()}
        yield Across(
            task,
            profile,
            datasets,
            {v: len(cells) for v, cells in own.items()},
            mean_ranks({v: row for v, row in losses.items() if len(row) == len(datasets)}),
            {v: skill([_relative(c) for c in cells.values()]) for v, cells in own.items()},
            doubles,
        )


def skill(errors: Sequence[Error | None]) -> Estimate:
    """Averages over datasets the share of a trivial answer's error that a variant takes away.

    0 means no better than the best trivial answer, 1 without any error. The interval adds the
    squares of widths, as that of a mean does: of the seeds' interval, which is symmetrical for the
    logarithm of the share that is left, and of the test set's on each dataset. It stays at or below
    1. It holds for these datasets alone.

    Args:
        errors: one per dataset; None where it has no trivial answer in its records.

    Returns:
        The mean with its interval, as `intervals.estimate` does; its `n` is the number of scores.
        NaN where a dataset has no trivial answer.
    """
    known = [error for error in errors if error]
    if not known or len(known) < len(errors):
        return Estimate(math.nan, math.nan, math.nan, 0, "no trivial answer in the records")
    n = sum(len(error.scores.values) for error in known)
    left = math.fsum(error.mean for error in known) / len(known)
    of = _of(known)
    if of not in ("seeds and test set", "seeds alone"):
        return Estimate(1 - left, math.nan, math.nan, n, of)
    ends = [(error.mean, *error.sampling(NORMAL)) for error in known]
    down, up = (math.hypot(*(end[side] - end[0] for end in ends)) / len(known) for side in (1, 2))
    spread = _seeds_reach(known) / left if left else 0.0
    low = left - math.hypot(down, left * math.expm1(-spread))
    high = left + math.hypot(up, left * math.expm1(spread))
    return Estimate(1 - left, 1 - high, min(1 - low, 1.0), n, of)


def _of(errors: Sequence[Error]) -> str:
    """Says what the interval of a skill includes, or why there is none."""
    scores = [error.scores for error in errors]
    if not all(one.comparable for one in scores):
        return "too few seeds"
    if any(one.tested for one in scores):
        return "seeds and test set"
    if any(one.seed_variance for one in scores):
        return "seeds alone"
    return "deterministic" if all(one.deterministic for one in scores) else "no spread"


def _seeds_reach(errors: Sequence[Error]) -> float:
    """Returns the half-width of the interval of the mean error that includes seeds alone.

    The degrees of freedom of the sum of variances are Satterthwaite's (1946).
    """
    variances = [error.seed_variance / len(errors) ** 2 for error in errors]
    squares = math.fsum(
        v**2 / e.scores.degrees for v, e in zip(variances, errors, strict=True) if v
    )
    total = math.fsum(variances)
    return student(total**2 / squares) * math.sqrt(total) if squares else 0.0


def _relative(cell: Cell) -> Error | None:
    scores = seed_scores(cell)
    if cell.direction == "maximize" and scores.scale != RATE:
        return None
    _, best = highest(_trivial(cell), cell.direction)
    floor = _error(best, scores)
    return Error(scores, floor) if floor > 0 else None


def _trivial(cell: Cell) -> Mapping[str, float]:
    floors = primary_floors(cell, trained=False)
    return {name: value for name, value in floors.items() if name != UNTRAINED}


def _error(score: float, scores: SeedScores) -> float:
    """Returns how far a score is from a perfect one: of a rate, the share of mistakes."""
    return 1 - score if scores.scale == RATE else score


def _loss(cell: Cell) -> float:
    return (-1 if cell.direction == "maximize" else 1) * seed_scores(cell).mean


def _doubles(cells: Sequence[Cell]) -> dict[str, str]:
    """Finds the datasets whose data has the fingerprint of an earlier dataset's."""
    prints: dict[str, set[str]] = {}
    for cell in cells:
        found = {run.data.sha256 for run in cell.scored if run.data}
        prints.setdefault(cell.dataset, set()).update(found)
    first: dict[frozenset[str], str] = {}
    doubles = {}
    for dataset, shas in prints.items():
        kept = first.setdefault(frozenset(shas), dataset) if shas else dataset
        if kept != dataset:
            doubles[dataset] = kept
    return doubles
