"""Reads from records what trivial answers and untrained networks score on a cell's test data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.records.record import RunRecord
from reports.results import Cell, Results
from reports.statistics.intervals import mean

UNTRAINED = "untrained"
"""The name of a variant's own floor: the score of its network before the first training step."""
PREFIX = "floor: "
"""Begins a trivial answer's name in tables whose other rows are variants."""
Seeds = dict[int, float]
"""Scores by the final's seed."""
CLOSE = 1e-6
"""Relative difference up to which a score counts as equal to a floor, since metrics are computed in
32 bits."""


@dataclass(frozen=True)
class Floor:
    """Holds the score of a trivial answer, or of one variant's untrained network, by one metric."""

    name: str
    variant: str
    """The variant whose floor this is; empty for a floor of all variants."""
    metric: str
    value: float
    """Mean over seeds."""
    n: int
    """Number of seeds."""


def trained_variants(results: Results) -> frozenset[tuple[str, str]]:
    """Finds the variants that learn by gradients.

    They trained at least one epoch in one of their cells. k-means and copy-last train none.

    Returns:
        Pairs of a task and a variant.
    """
    return frozenset(
        (cell.task, cell.variant)
        for cell in results.cells
        if any(run.epochs for run in (*cell.finals, *cell.trials))
    )


def trivial_answers(cells: Iterable[Cell]) -> list[Floor]:
    """Averages the scores of trivial answers over seeds, for each answer and metric.

    An answer has one score for all variants. Where its score depends on the variant, which may
    reconstruct something else than the image or be scored on other test data, it has one score per
    variant.

    Args:
        cells: the cells of one task, dataset and profile.

    Returns:
        The floors, ordered by the answer's name, then by metric.
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
    """Averages the scores of a cell's untrained network over seeds, for each metric.

    Returns:
        The floors, ordered by metric; none if the records have no untrained network.
    """
    return [
        Floor(name, cell.variant, metric, _mean(seeds), len(seeds))
        for (name, metric), seeds in sorted(_by_seed(cell.scored).items())
        if name == UNTRAINED
    ]


def primary_floors(cell: Cell, *, trained: bool) -> dict[str, float]:
    """Collects the floors with which a cell's primary score is compared.

    Args:
        cell: the cell.
        trained: whether the cell's variant learns by gradients. If not, the floor `untrained` is
            left out.

    Returns:
        By the floor's name, its mean over seeds.
    """
    return {
        name: _mean(seeds)
        for (name, metric), seeds in _by_seed(cell.scored).items()
        if metric == cell.metric and (trained or name != UNTRAINED)
    }


def highest(floors: Mapping[str, float], direction: str) -> tuple[str, float]:
    """Finds the best floor.

    Args:
        floors: values by the floor's name.
        direction: `maximize` or `minimize`, which says whether a high or a low value is better.

    Returns:
        Name and value of the best floor; an empty name and NaN if there is none.
    """
    sign = -1 if direction == "maximize" else 1
    name = min(sorted(floors), key=lambda name: sign * floors[name], default="")
    return name, floors.get(name, math.nan)


def is_above(bounds: tuple[float, float], floors: Iterable[float], direction: str) -> bool:
    """Decides whether the worse of two bounds of a score is better than all floors.

    Args:
        bounds: the low and the high end of the score's interval.
        floors: the floors' values.
        direction: `maximize` or `minimize`, which says whether a high or a low value is better.

    Returns:
        True if it is; False for a bound that is not finite.
    """
    worst = bounds[0] if direction == "maximize" else bounds[1]
    return math.isfinite(worst) and all(_better(worst, floor, direction) for floor in floors)


def _better(value: float, floor: float, direction: str) -> bool:
    if math.isclose(value, floor, rel_tol=CLOSE):
        return False
    return value > floor if direction == "maximize" else value < floor


def _by_seed(runs: Iterable[RunRecord]) -> dict[tuple[str, str], Seeds]:
    """Collects the finite floors of these runs, by name and metric."""
    found: dict[tuple[str, str], Seeds] = {}
    for run in runs:
        for name, metrics in run.floors.items():
            for metric, value in metrics.items():
                if math.isfinite(value):
                    found.setdefault((name, metric), {})[run.seed] = value
    return found


def _shared(by_variant: Mapping[str, Seeds]) -> Mapping[str, Seeds]:
    """Merges variants into one entry, named "", if they have the same value for each seed.

    Otherwise returns `by_variant` as it is.
    """
    shared: Seeds = {}
    for seeds in by_variant.values():
        for seed, value in seeds.items():
            if not math.isclose(shared.setdefault(seed, value), value, rel_tol=CLOSE):
                return by_variant
    return {"": shared}


def _mean(seeds: Seeds) -> float:
    """Averages values; equal ones are returned as they are, since a sum would round them."""
    values = [*seeds.values()]
    return values[0] if min(values) == max(values) else mean(values)
