"""Decides which variants are above their floors, and which of those may be best on each dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from reports.results import Cell, Results
from reports.statistics.floor_scores import highest, is_above, primary_floors, trained_variants
from reports.statistics.intervals import (
    RATE,
    SCALES,
    Estimate,
    SeedScores,
    estimate,
    sampling_bounds,
)
from reports.statistics.multiple_comparisons import Comparison, compare_with_best

Mark = Literal["", "best", "may be best", "worse", "too few seeds", "not above floors", "floor"]
BELOW: tuple[Mark, ...] = ("not above floors", "floor")
"""Marks of variants that are not above their floors."""
NOT_COMPARED = Comparison("too few seeds", math.nan)


@dataclass(frozen=True)
class RankedCell:
    """Holds a cell with its score, floors and mark."""

    cell: Cell
    seeds: SeedScores
    score: Estimate
    trained: bool
    """Whether the cell's variant learns by gradients."""
    floors: Mapping[str, float]
    """Values of the floors with which its score is compared, by name: trivial answers and its own
    untrained network."""
    above: bool
    """Whether the score is better than all floors, and its interval includes none. With fewer than
    three seeds, the interval is that of the test set's sampling error alone."""
    mark: Mark = ""
    """`not above floors`; `floor`, where such a variant does not learn by gradients; else `best`,
    `may be best`, `worse` or `too few seeds`. Empty without a score."""
    behind: float = math.nan
    """How much worse its mean is than that of the first row that was compared; NaN if none was."""
    at_most: float = math.nan
    """The most that it may be behind the truly best variant; NaN if it was not compared."""

    @property
    def floor(self) -> tuple[str, float]:
        """Returns name and value of the best floor; an empty name and NaN if there is none."""
        return highest(self.floors, self.cell.direction)


def place(cell: Cell) -> tuple[str, str, str]:
    """Returns the task, dataset and profile of a cell: only cells with equal ones are compared."""
    return cell.task, cell.dataset, cell.profile


def rankings(results: Results) -> Iterator[list[RankedCell]]:
    """Yields one list per task, dataset and profile, best first; cells without finals last."""
    trained = trained_variants(results)
    for _, cells in groupby(results.cells, key=place):
        yield _ranked([_unmarked(cell, (cell.task, cell.variant) in trained) for cell in cells])


def scores_of_finals(cell: Cell, metric: str | None = None) -> dict[int, float]:
    """Returns a test metric of the completed finals by seed; the primary metric by default."""
    name = f"test/{metric or cell.metric}"
    return {run.seed: run.metrics[name] for run in cell.scored if name in run.metrics}


def seed_scores(cell: Cell, metric: str | None = None) -> SeedScores:
    """Collects what an interval of a test metric needs; the primary metric by default.

    The number of test samples is the smallest of the finals', and 0 if one does not have it.
    """
    name = metric or cell.metric
    sizes = [run.samples.test if run.samples else 0 for run in cell.scored]
    tested = min(sizes, default=0) if SCALES.get(name) == RATE else 0
    return SeedScores(
        tuple(scores_of_finals(cell, name).values()), name, tested, _is_deterministic(cell)
    )


def score_order(mean: float, direction: str) -> tuple[bool, float]:
    """Returns a sorting key: the best mean comes first, NaN last."""
    if math.isnan(mean):
        return True, 0.0
    return False, -mean if direction == "maximize" else mean


def _is_deterministic(cell: Cell) -> bool:
    """Says whether nothing was trained, and several seeds have the same test scores throughout."""
    found = [
        {name: value for name, value in run.metrics.items() if name.startswith("test/")}
        for run in cell.scored
    ]
    return (
        len(found) > 1
        and not any(run.epochs for run in cell.scored)
        and all(one == found[0] for one in found)
    )


def _unmarked(cell: Cell, trained: bool) -> RankedCell:
    found = seed_scores(cell)
    score, floors = estimate(found), primary_floors(cell, trained=trained)
    bounds = (score.low, score.high) if math.isfinite(score.low) else sampling_bounds(found)
    above = is_above(bounds, floors.values(), cell.direction)
    return RankedCell(cell, found, score, trained, floors, above)


def _ranked(rankings: list[RankedCell]) -> list[RankedCell]:
    """Sorts best first and marks each ranked."""
    rankings.sort(key=_best_first)
    comparisons = _comparisons(rankings)
    first = next((s.score.mean for s in rankings if s.cell.study in comparisons), math.nan)
    sign = 1 if rankings[0].cell.direction == "maximize" else -1
    return [
        replace(
            ranked,
            mark=_mark(ranked, comparisons.get(ranked.cell.study, NOT_COMPARED).mark),
            behind=sign * (first - ranked.score.mean) + 0.0,  # -0.0 would be shown
            at_most=comparisons.get(ranked.cell.study, NOT_COMPARED).at_most,
        )
        for ranked in rankings
    ]


def _comparisons(rankings: list[RankedCell]) -> dict[str, Comparison]:
    """Compares the variants above their floors that have enough seeds, by study.

    The first is `may be best` at most while another has too few seeds or no final yet, or has a
    better mean that is not above its floors.
    """
    above = [ranked for ranked in rankings if ranked.above]
    compared = [ranked for ranked in above if ranked.seeds.comparable]
    if not compared:
        return {}
    direction = compared[0].cell.direction
    found = compare_with_best([ranked.seeds for ranked in compared], direction)
    undecided = len(compared) < len(above) or compared[0] is not rankings[0]
    if undecided or any(map(_is_awaited, rankings)):
        found = [c._replace(mark="may be best") if c.mark == "best" else c for c in found]
    return {s.cell.study: comparison for s, comparison in zip(compared, found, strict=True)}


def _is_awaited(ranked: RankedCell) -> bool:
    """Says whether the cell may still get its first final."""
    cell = ranked.cell
    return not cell.scored and cell.progress != "failed"


def _best_first(ranked: RankedCell) -> tuple[object, ...]:
    cell = ranked.cell
    return score_order(ranked.score.mean, cell.direction), cell.variant, cell.study


def _mark(ranked: RankedCell, mark: Mark) -> Mark:
    if not ranked.score.n:
        return ""
    if not ranked.above:
        return "not above floors" if ranked.trained else "floor"
    return mark
