"""Builds the table of Pareto fronts, of studies with a score and a cost as objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from reports.formats import frame
from reports.results import Cell, Results

PARETO = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    "profile": "str",
    "metric": "str",
    "direction": "str",
    "score": "float64",
    "cost": "str",
    "amount": "Int64",
    "run_id": "str",
}

PARETO_NOTE = """\
- The table has the complete trials on the Pareto front of studies with two objectives: no other
  trial is as good and cheaper, or as cheap and better. **score** is on validation data, of one run;
  **cost** names the second objective, and **amount** is its value.
"""


def pareto(results: Results) -> pd.DataFrame:
    """Builds one row per trial on the front of a study with two objectives, best score first."""
    return frame(PARETO, (row for cell in results.cells for row in _front(cell)))


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Finds the points (loss, cost) of the Pareto front: no other point is at most equal in both.

    Returns:
        Positions in `points`, the lowest loss first; of equal points the first.
    """
    unbeaten, cheapest = [], math.inf
    for number in sorted(range(len(points)), key=lambda n: points[n]):
        if points[number][1] < cheapest:
            cheapest = points[number][1]
            unbeaten.append(number)
    return unbeaten


def _front(cell: Cell) -> list[tuple[Any, ...]]:
    if (cost := cell.ledger.cost) is None:
        return []
    sign = -1 if cell.direction == "maximize" else 1
    points = {
        trial.run_id: (
            sign * trial.metrics.get(f"validation/{cell.metric}", math.nan),
            trial.cost(cost),
        )
        for trial in cell.trials
        if trial.complete
    }
    points = {run_id: point for run_id, point in points.items() if all(map(math.isfinite, point))}
    run_ids = sorted(points)
    unbeaten = [run_ids[n] for n in front([points[run_id] for run_id in run_ids])]
    rows = [(sign * points[r][0], cost, round(points[r][1]), r) for r in unbeaten]
    where = (cell.task, cell.dataset, cell.variant, cell.profile, cell.metric, cell.direction)
    return [(*where, *row) for row in rows]
