"""Lists runs for the page: single runs and finals first, and of many runs the first alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.formats import frame
from reports.page.views import metric_name
from reports.results import Results
from reports.score_texts import factor
from reports.tables.run_scores import run_order

MOST = 500
"""Runs that the page lists, at most; `tables/runs.csv` and `tables/scores.csv` have all."""
ROLES = ("single", "final", "base", "trial")
"""In the order of the list."""
COLUMNS = {
    "role": "str",
    "variant": "str",
    "dataset": "str",
    "seed": "str",
    "train_samples": "Int64",
    "epochs": "int64",
    "metric": "str",
    "score": "float64",
    "split": "str",
    "status": "str",
    "run_id": "str",
}


def run_rows(results: Results) -> pd.DataFrame:
    """Builds one row per run, at most `MOST`: single runs, finals, bases, trials.

    The score is the primary metric on test data, or on validation data where the run has no test
    score; rates are in percent.
    """
    runs = sorted(run_order(results), key=lambda run: ROLES.index(results.role(run)))
    return frame(COLUMNS, _rows(results, runs[:MOST]))


def _rows(results: Results, runs: Sequence[RunRecord]) -> Iterator[tuple[Any, ...]]:
    for run in runs:
        metric = run.metric or ""
        found = ((split, run.metrics.get(f"{split}/{metric}")) for split in ("test", "validation"))
        split, score = next(((s, v) for s, v in found if v is not None), ("", math.nan))
        role = results.role(run)
        yield (
            *("single run" if role == "single" else role, run.variant, run.dataset, str(run.seed)),
            *(run.samples.train if run.samples else None, run.epochs, metric_name(metric)),
            *(score * factor(metric), split, run.status, run.run_id),
        )
