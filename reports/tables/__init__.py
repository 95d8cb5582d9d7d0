"""Lists the tables of the report.

A table is a DataFrame in a fixed order, made from records alone. `costs` and `scores` hold what a
clock measured; all others are byte-identical between equal sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from reports.results import Results
from reports.tables.cell_costs import COSTS_NOTE, costs
from reports.tables.dataset_ranks import RANKS_NOTE, ranks
from reports.tables.floor_tables import FLOORS_NOTE, floors
from reports.tables.leaderboard_table import LEADERBOARD_NOTE, leaderboard
from reports.tables.metric_means import METRICS_NOTE, metrics
from reports.tables.pareto_fronts import PARETO_NOTE, pareto
from reports.tables.published_table import PUBLISHED_NOTE, published
from reports.tables.run_lists import failures, provenance, runs
from reports.tables.run_scores import scores
from reports.tables.score_matrix import MATRIX_NOTE, matrix
from reports.tables.trial_lists import (
    IMPORTANCE_NOTE,
    SETTING_NOTE,
    best_params,
    importance,
    trials,
)
from reports.tables.used_data import DATA_NOTE, data

TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    table.__name__: table
    for table in (
        leaderboard,
        matrix,
        floors,
        scores,
        trials,
        metrics,
        ranks,
        published,
        runs,
        best_params,
        pareto,
        importance,
        failures,
        data,
        provenance,
        costs,
    )
}

DATA_TABLES = ("scores", "trials")
"""Tables for programs: CSV and Parquet alone, since they are too long to be read."""

NOTES = {
    "leaderboard": LEADERBOARD_NOTE,
    "floors": FLOORS_NOTE,
    "metrics": METRICS_NOTE,
    "ranks": RANKS_NOTE,
    "published": PUBLISHED_NOTE,
    "matrix": MATRIX_NOTE,
    "best_params": SETTING_NOTE,
    "importance": IMPORTANCE_NOTE,
    "pareto": PARETO_NOTE,
    "costs": COSTS_NOTE,
    "data": DATA_NOTE,
}


def build_tables(results: Results, names: Iterable[str] = TABLES) -> dict[str, pd.DataFrame]:
    """Builds the tables of these names, all by default."""
    return {name: TABLES[name](results) for name in names}
