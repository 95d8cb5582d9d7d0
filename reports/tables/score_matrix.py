"""Builds the matrix: the mean score of each variant on each dataset."""

from __future__ import annotations

import math

import pandas as pd

from reports.formats import frame, one_line
from reports.results import Cell, Results
from reports.row_order import by_dataset
from reports.statistics.intervals import mean
from reports.statistics.ranking import seed_scores

WHERE = ("task", "profile", "variant")
"""The columns before those of datasets."""
MATRIX_NOTE = """\
- Each column after **variant** is a dataset: the mean of its primary metric over finals. It is
  empty where the variant has no final. The leaderboard says which metric that is, and how sure.
"""


def matrix(results: Results) -> pd.DataFrame:
    """Builds one row per task, profile and variant, with one column per dataset.

    Returns:
        The columns task, profile and variant, then the datasets. Values are means of the dataset's
        primary metric over completed finals; NaN without one.
    """
    datasets = sorted({cell.dataset for cell in results.cells}, key=by_dataset)
    rows: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for cell in results.cells:
        where = (cell.task, cell.profile, cell.variant)
        rows.setdefault(where, {})[cell.dataset] = cell
    tasks = list(dict.fromkeys((task, profile) for task, profile, _ in rows))
    columns = dict.fromkeys(WHERE, "str") | {one_line(name): "float64" for name in datasets}
    ordered = sorted(rows, key=lambda row: (tasks.index(row[:2]), row[2]))
    return frame(
        columns, ((*where, *(_mean(rows[where].get(d)) for d in datasets)) for where in ordered)
    )


def _mean(cell: Cell | None) -> float:
    return mean(list(seed_scores(cell).values)) if cell else math.nan
