"""Decides which variants are above their floors, which is best on each dataset, which differ from
the best, and how variants rank across datasets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from reports.floors import highest, is_above, primary_floors, trained_variants
from reports.records import Cell, Results
from reports.statistics import (
    Difference,
    Interval,
    Ranks,
    bootstrap,
    holm,
    interquartile_mean,
    interval,
    mean_ranks,
    paired,
)

Mark = Literal["", "best", "tied", "behind", "untested", "not above floors", "floor"]
BELOW: tuple[Mark, ...] = ("not above floors", "floor")
"""Marks of variants that are not above their floors."""
LEVEL = 0.05
"""Corrected p-values above this do not tell two variants apart."""
NO_DIFFERENCE = Difference(math.nan, math.nan, math.nan, 0, math.nan)


@dataclass(frozen=True)
class Standing:
    """A cell's place on its dataset."""

    cell: Cell
    score: Interval
    trained: bool
    """Whether the cell's variant learns by gradients."""
    floors: Mapping[str, float]
    """Values of the floors with which its score is compared, by name: trivial answers and its own
    untrained network."""
    mark: Mark
    """`not above floors`; `floor`, where such a variant does not learn by gradients; else `best`,
    `tied` (the test finds no difference from the best), `behind` (it finds one) or `untested` (too
    few seeds). Empty without a score."""
    behind: Difference
    """How much worse than the best, over the seeds that both cells have; p is corrected for all
    variants on the dataset. `NO_DIFFERENCE` for the best, and where no variant is best."""

    @property
    def above(self) -> bool:
        """Says whether the score is better than all floors, and its interval includes none."""
        return is_above(self.score, self.floors.values(), self.cell.direction)

    @property
    def floor(self) -> tuple[str, float]:
        """Returns name and value of the best floor; an empty name and NaN if there is none."""
        return highest(self.floors, self.cell.direction)


@dataclass(frozen=True)
class Across:
    """How variants of a task and profile stand over all its datasets."""

    task: str
    profile: str
    datasets: tuple[str, ...]
    """On which any variant has finals."""
    covered: dict[str, int]
    """By variant, on how many of these it has finals."""
    ranks: Ranks
    """Of the variants that cover all."""
    middle: dict[str, Interval]
    """Interquartile mean of their scores, scaled so that on each dataset the worst mean is 0 and
    the best 1."""


def place(cell: Cell) -> tuple[str, str, str]:
    """What a cell is compared within: task, dataset and profile."""
    return cell.task, cell.dataset, cell.profile


def standings(results: Results) -> Iterator[list[Standing]]:
    """Yields one list per task, dataset and profile, best first; cells without finals last."""
    trained = trained_variants(results)
    for _, cells in groupby(results.cells, key=place):
        yield _ranked(list(cells), trained)


def scores(cell: Cell, metric: str | None = None) -> dict[int, float]:
    """A test metric of the completed finals, the primary one unless named, by seed."""
    name = f"test/{metric or cell.metric}"
    return {run.seed: run.metrics[name] for run in cell.scored if name in run.metrics}


def across(results: Results) -> Iterator[Across]:
    """A comparison a task and profile, where there is more than one dataset with finals."""

    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in results.cells:
        groups.setdefault((cell.task, cell.profile), []).append(cell)
    for (task, profile), members in groups.items():
        cells = {(c.variant, c.dataset): c for c in members if scores(c)}
        datasets = tuple(dict.fromkeys(dataset for _, dataset in cells))
        variants = sorted({variant for variant, _ in cells})
        if len(datasets) < 2:
            continue
        covered = {v: sum((v, d) in cells for d in datasets) for v in variants}
        complete = [v for v in variants if covered[v] == len(datasets)]
        losses = {v: [_losses(cells[v, d]) for d in datasets] for v in complete}
        means = {v: [float(np.mean(x)) for x in rows] for v, rows in losses.items()}
        middle = _middle(losses, means, len(datasets))
        yield Across(task, profile, datasets, covered, mean_ranks(means), middle)


def _ranked(cells: list[Cell], trained: frozenset[tuple[str, str]]) -> list[Standing]:
    plain = [_unmarked(cell, (cell.task, cell.variant) in trained) for cell in cells]
    plain.sort(key=_best_first)
    # Only a variant that is above its floors is best.
    best = next((standing.cell for standing in plain if standing.above), None)
    gaps = [_behind(standing.cell, best) for standing in plain]
    corrected = holm([gap.p for gap in gaps])
    return [
        replace(standing, mark=_mark(standing, best, p), behind=gap._replace(p=p))
        for standing, gap, p in zip(plain, gaps, corrected, strict=True)
    ]


def _unmarked(cell: Cell, trained: bool) -> Standing:
    score = interval([*scores(cell).values()])
    floors = primary_floors(cell, trained=trained)
    return Standing(cell, score, trained, floors, "", NO_DIFFERENCE)


def _best_first(standing: Standing) -> tuple[object, ...]:
    cell = standing.cell
    return rank(standing.score.mean, cell.direction), cell.variant, cell.study


def rank(mean: float, direction: str) -> tuple[bool, float]:
    """Sorts best first, and what has no figure last."""
    if math.isnan(mean):
        return True, 0.0
    return False, -mean if direction == "maximize" else mean


def _behind(cell: Cell, best: Cell | None) -> Difference:
    if best is None or cell is best:
        return NO_DIFFERENCE
    ours, theirs = scores(cell), scores(best)
    return paired(theirs, ours) if cell.direction == "maximize" else paired(ours, theirs)


def _mark(standing: Standing, best: Cell | None, p: float) -> Mark:
    if not standing.score.n:
        return ""
    if not standing.above:
        return "not above floors" if standing.trained else "floor"
    if standing.cell is best:
        return "best"
    if math.isnan(p):
        return "untested"
    return "tied" if p > LEVEL else "behind"


def _losses(cell: Cell) -> list[float]:
    sign = -1 if cell.direction == "maximize" else 1
    return [sign * value for value in scores(cell).values()]


def _middle(
    losses: dict[str, list[list[float]]], means: dict[str, list[float]], datasets: int
) -> dict[str, Interval]:
    """Interquartile means over datasets and seeds; datasets where all are equal say nothing."""
    strata: dict[str, list[list[float]]] = {variant: [] for variant in losses}
    for number in range(datasets):
        column = [row[number] for row in means.values()]
        if len(column) < 2 or not np.isfinite(column).all() or min(column) == max(column):
            continue
        worst, width = max(column), max(column) - min(column)
        for variant, rows in losses.items():
            strata[variant].append([(worst - loss) / width for loss in rows[number]])
    found = {variant: bootstrap(rows, interquartile_mean) for variant, rows in strata.items()}
    # Scaled scores cancel to some 1e-17, which would be read as a figure.
    return {
        variant: Interval(round(mean, 12), round(low, 12), round(high, 12), n)
        for variant, (mean, low, high, n) in found.items()
    }
