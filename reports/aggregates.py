"""Computes skills and ranks of variants over all datasets of a task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.floor_scores import UNTRAINED, highest, primary_floors
from reports.intervals import NORMAL, RATE, Estimate, SeedScores, student
from reports.ranking import seed_scores
from reports.results import Cell, Results
from reports.statistics import Ranks, mean_ranks


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

    @property
    def test_variance(self) -> float:
        """Returns the variance of the mean from drawing the test set; 0 if unknown."""
        return self.scores.test_variance * self._per_scale**2

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

    0 means no better than the best trivial answer, 1 without any error. The interval is symmetrical
    for the logarithm of the share that is left, so it stays below 1. It speaks of these datasets.

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
    if not (left > 0 and all(error.scores.comparable for error in known)):
        return Estimate(1 - left, math.nan, math.nan, n, "too few seeds")
    seeds = [error.seed_variance / len(known) ** 2 for error in known]
    tests = math.fsum(error.test_variance for error in known) / len(known) ** 2
    squares = math.fsum(v**2 / e.scores.degrees for v, e in zip(seeds, known, strict=True) if v)
    # Satterthwaite's degrees of freedom of a sum of variances.
    t = student(math.fsum(seeds) ** 2 / squares) if squares else 0.0
    reach = math.sqrt(t**2 * math.fsum(seeds) + NORMAL**2 * tests) / left
    if not reach:
        fixed = all(error.scores.deterministic for error in known)
        of = "deterministic" if fixed else "no spread"
        return Estimate(1 - left, math.nan, math.nan, n, of)
    of = "seeds and test set" if tests else "seeds alone"
    return Estimate(1 - left, 1 - left * math.exp(reach), 1 - left * math.exp(-reach), n, of)


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
