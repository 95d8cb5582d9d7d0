"""Builds the table of all test metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from reports.formats import frame
from reports.results import Cell, Results
from reports.row_order import by_dataset, by_task
from reports.statistics.intervals import estimate
from reports.statistics.ranking import score_order, seed_scores
from reports.tables.leaderboard_table import SCORE, SCORES_NOTE, score_row, test_set_size

METRICS = {**SCORE, "test_samples": "Int64", "note": "str"}

METRICS_NOTE = (
    SCORES_NOTE
    + """\
- **test_samples** is the size of the test set that scored the row.
- **note** says why a cell has no figure of a metric: *n/a*, it has no meaning there.
"""
)


def metrics(results: Results) -> pd.DataFrame:
    """Builds one row per cell and test metric: the leaderboard's first columns, then two more.

    Metrics that have no meaning in a cell keep their row, without a figure, with the reason.
    """
    rows = (
        (
            *score_row(cell, seeds, estimate(seeds), cell.ledger.directions.get(seeds.metric, "")),
            test_set_size(cell.scored) if seeds.values else None,
            _absence(cell, seeds.metric),
        )
        for cell in results.cells
        for seeds in (seed_scores(cell, metric) for metric in _test_metrics(cell))
    )
    return frame(METRICS, sorted(rows, key=_best_first))


def _best_first(row: Sequence[Any]) -> tuple[Any, ...]:
    task, dataset, variant, metric, direction, mean, *_, profile, _, _ = row
    where = by_task(task), by_dataset(dataset), profile
    return (*where, metric, score_order(mean, direction), variant)


def _test_metrics(cell: Cell) -> list[str]:
    names = {name for run in cell.scored for name in run.metrics if name.startswith("test/")}
    absent = {name for run in cell.scored for name in run.absent}
    return sorted({name.removeprefix("test/") for name in names} | absent)


def _absence(cell: Cell, metric: str) -> str:
    reasons = {run.absent[metric] for run in cell.scored if metric in run.absent}
    return f"n/a: {'; '.join(sorted(reasons))}" if reasons else ""
