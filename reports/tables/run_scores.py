"""Builds the table of scores: the numbers of all runs, for statistics of the reader's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.formats import frame
from reports.results import Results
from reports.row_order import by_dataset, by_task

SCORES = {
    "task": "str",
    "profile": "str",
    "variant": "str",
    "dataset": "str",
    "role": "str",
    "seed": "uint64",
    "split": "str",
    "metric": "str",
    "value": "float64",
    "test_samples": "Int64",
    "epochs": "int64",
    "seconds": "float64",
    "run_id": "str",
}


def scores(results: Results) -> pd.DataFrame:
    """Builds one row per run and metric, of the cells' runs and of single runs.

    The columns are those of `SCORES`. Runs without metrics, such as failed ones, have no row.
    """
    return frame(SCORES, (row for run in run_order(results) for row in _rows(results, run)))


def run_order(results: Results) -> list[RunRecord]:
    """Sorts the runs of cells and single runs by task, dataset, variant, role and seed."""
    roles = ("base", "trial", "final", "single")

    def place(run: RunRecord) -> tuple[Any, ...]:
        role = roles.index(results.role(run))
        where = by_task(results.task(run)), by_dataset(run.dataset), run.variant
        return (*where, role, run.seed, run.run_id)

    return sorted(results.every_run, key=place)


def _rows(results: Results, run: RunRecord) -> Iterator[tuple[Any, ...]]:
    where = (results.task(run), run.spec.budget.profile, run.variant, run.dataset)
    for name, value in sorted(run.metrics.items()):
        split, _, metric = name.partition("/")
        tested = run.samples.test if run.samples and split == "test" else None
        yield (
            *(*where, results.role(run), run.seed, split, metric, value),
            *(tested, run.epochs, run.cost("seconds"), run.run_id),
        )
