"""Builds the table of what the runs of each cell cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.formats import frame
from reports.results import Cell, Results
from reports.statistics.intervals import mean

COSTS = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    "profile": "str",
    "trials": "int64",
    "pruned": "int64",
    "saved_epochs": "int64",
    "failed": "int64",
    "retries": "int64",
    "finals": "int64",
    "epochs": "Int64",
    "train_samples": "Int64",
    "parameters": "Int64",
    "flops_per_sample": "Int64",
    "seconds": "float64",
    "train_seconds": "float64",
    "samples_per_second": "float64",
    "peak_memory_bytes": "Int64",
    "total_seconds": "float64",
}

COSTS_NOTE = """\
- **trials** is the number of finished trials; **pruned** and **failed** count those that were
  pruned or failed. **saved_epochs** is the number of epochs that pruning saved. **retries** counts
  runs that were started again since their worker had died. **finals** have completed.
- **epochs** to **samples_per_second** are means over completed finals, without those of a base;
  **train_samples** are those of an epoch. **peak_memory_bytes** is the highest of them, on a GPU
  only: on a CPU a process trains one variant after another. **seconds** is a whole run,
  **train_seconds** its training alone.
- **total_seconds** sums all trials and finals of the cell, and their bases.
"""


def costs(results: Results) -> pd.DataFrame:
    """Builds the table of costs, with one row per cell and the columns of `COSTS`."""
    return frame(COSTS, map(_cost, results.cells))


def training(cell: Cell) -> tuple[int | None, int | None]:
    """Returns the epochs of a final and the training samples of an epoch, means over completed
    finals; None where no record has them."""
    epochs = mean([run.epochs for run in cell.scored])
    samples = mean([run.samples.train for run in cell.scored if run.samples])
    return _whole(epochs), _whole(samples)


def _cost(cell: Cell) -> tuple[Any, ...]:
    statuses = [trial.status for trial in cell.trials]

    def average(name: str) -> float:
        return mean(_known(cell.scored, name))

    on_gpu = [run for run in cell.scored if run.spec.device == "cuda"]
    peak = max(_known(on_gpu, "peak_memory_bytes"), default=math.nan)
    return (
        cell.task,
        cell.dataset,
        cell.variant,
        cell.profile,
        len(statuses),
        statuses.count("pruned"),
        cell.ledger.epochs.saved,
        statuses.count("failed"),
        cell.ledger.retries,
        len(cell.scored),
        *training(cell),
        _whole(average("parameters")),
        _whole(average("flops_per_sample")),
        average("seconds"),
        average("train_seconds"),
        average("samples_per_second"),
        _whole(peak),
        math.fsum(_known((*cell.bases, *cell.trials, *cell.finals), "seconds")),
    )


def _known(runs: Iterable[RunRecord], name: str) -> list[float]:
    """Lists the known amounts of a cost."""
    return [cost for run in runs if math.isfinite(cost := run.cost(name))]


def _whole(number: float) -> int | None:
    return round(number) if math.isfinite(number) else None
