"""Floors: what trivial answers and untrained networks score on a cell's test data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reports.records import Cell, Results, Run
from reports.statistics import Interval, interval

UNTRAINED = "untrained"
"""The floor that each variant has of its own: its network before the first step."""
PREFIX = "floor: "
"""Stands before a trivial answer's name where it has a row among variants."""
Seeds = dict[int, float]
"""Scores by the final's seed."""
CLOSE = 1e-6
"""Relative difference up to which a score equals a floor: metrics are computed in 32 bits."""


@dataclass(frozen=True)
class Floor:
    """A trivial answer's score by one metric, or that of one variant's untrained network."""

    name: str
    variant: str
    """The variant that it is a floor of; empty where it is one of all variants."""
    metric: str
    value: float
    """Mean over seeds."""
    n: int
    """How many seeds `value` is the mean of."""


def trained_variants(results: Results) -> frozenset[tuple[str, str]]:
    """Returns task and variant of all that trained at least one epoch in any of their cells.

    k-means and copy-last train no epoch: nothing in them learns by gradients.
    """
    return frozenset(
        (cell.task, cell.variant)
        for cell in results.cells
        if any(run.epochs for run in (*cell.finals, *cell.trials))
    )


def trivial_answers(cells: Iterable[Cell]) -> list[Floor]:
    """Returns the scores of trivial answers, by name and metric.

    An answer has one score for all variants, unless it depends on what a variant reconstructs or
    on the test data that scored it: then it has one per variant.

    Args:
        cells: the cells of one task, dataset and profile.
    """
    found: dict[tuple[str, str], dict[str, Seeds]] = {}
    for cell in cells:
        for (name, metric), seeds in _by_seed(cell.scored).items():
            if name != UNTRAINED:
                found.setdefault((name, metric), {})[cell.variant] = seeds
    return [
        Floor(name, variant, metric, _mean(seeds), len(seeds))
        for (name, metric), by_variant in sorted(found.items())
        for variant, seeds in _shared(by_variant).items()
    ]


def untrained_networks(cell: Cell) -> list[Floor]:
    """Returns the scores of a cell's untrained network, by metric."""
    return [
        Floor(name, cell.variant, metric, _mean(seeds), len(seeds))
        for (name, metric), seeds in sorted(_by_seed(cell.scored).items())
        if name == UNTRAINED
    ]


def primary_floors(cell: Cell, *, trained: bool) -> dict[str, float]:
    """Returns the floors that a cell's primary score is held against, by name.

    Args:
        cell: the cell.
        trained: whether its variant learns by gradients. One that does not has no untrained
            network: what its record has by this name is left out.
    """
    return {
        name: _mean(seeds)
        for (name, metric), seeds in _by_seed(cell.scored).items()
        if metric == cell.metric and (trained or name != UNTRAINED)
    }


def highest(floors: Mapping[str, float], direction: str) -> tuple[str, float]:
    """Returns name and value of the best floor; an empty name and NaN where there is none."""
    sign = -1 if direction == "maximize" else 1
    name = min(sorted(floors), key=lambda name: sign * floors[name], default="")
    return name, floors.get(name, math.nan)


def is_above(score: Interval, floors: Iterable[float], direction: str) -> bool:
    """Returns whether a score is better than all floors, and its interval includes none of them.

    One seed has no interval: its score alone counts.
    """
    bound = score.low if direction == "maximize" else score.high
    worst = score.mean if score.n == 1 else bound
    return math.isfinite(worst) and all(_better(worst, floor, direction) for floor in floors)


def _better(value: float, floor: float, direction: str) -> bool:
    if math.isclose(value, floor, rel_tol=CLOSE):
        return False
    return value > floor if direction == "maximize" else value < floor


def _by_seed(runs: Iterable[Run]) -> dict[tuple[str, str], Seeds]:
    """The finite floors of these runs, by name and metric."""
    found: dict[tuple[str, str], Seeds] = {}
    for run in runs:
        for name, metrics in run.floors.items():
            for metric, value in metrics.items():
                if math.isfinite(value):
                    found.setdefault((name, metric), {})[run.seed] = value
    return found


def _shared(by_variant: Mapping[str, Seeds]) -> Mapping[str, Seeds]:
    """One entry, named "", where variants have the same value for the same seed; else as it is."""
    shared: Seeds = {}
    for seeds in by_variant.values():
        for seed, value in seeds.items():
            if not math.isclose(shared.setdefault(seed, value), value, rel_tol=CLOSE):
                return by_variant
    return {"": shared}


def _mean(seeds: Seeds) -> float:
    """Equal values keep all their digits, which a mean of them may not."""
    values = [*seeds.values()]
    return values[0] if min(values) == max(values) else interval(values).mean
