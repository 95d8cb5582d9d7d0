"""Every table of the report: what it says of `Results`, row by row.

A table is a DataFrame in a fixed order, made from records alone. Only `costs` holds what a clock
measured; all others are byte-identical between equal sweeps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reports.formats import csv, frame, markdown, write
from reports.pareto import PARETO_NOTE, pareto
from reports.records import Cell, Results, Run
from reports.statistics import interval

SCORES = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    "metric": "str",
    "direction": "str",
    "mean": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "seeds": "int64",
    "data": "str",
    "profile": "str",
}

SCORES_NOTE = """\
- **mean** is over the *seeds* completed finals of a cell: the best trial's hyper-parameters,
  trained with fresh seeds, each scored once on test data. A cell without such a final yet has 0
  seeds and no figure.
- **ci_low** and **ci_high** bound the 95 % Student-t confidence interval of that mean. It speaks
  of the variation over seeds alone, is wide where seeds are few, may reach past a metric's range,
  and is empty for one seed.
- **direction** tells whether a higher (maximize) or a lower (minimize) mean is better.
  Rows are best first in each task, dataset and profile.
- **data** is the state of the data: *official* (the published files, checksum known), *unofficial*
  (reads well, differs from them), *partial* (fewer samples than official), *generated* (moving
  sequences made from another dataset's images), *stand-in* (rendered, not the dataset at all: such
  figures say nothing of it). Several states in one cell are joined by +.
"""


def leaderboard(results: Results) -> pd.DataFrame:
    """A row a cell: its primary metric over its completed finals, best first."""
    rows = (_score(cell, cell.metric, cell.direction) for cell in results.cells)
    return frame(SCORES, sorted(rows, key=_best_first))


def metrics(results: Results) -> pd.DataFrame:
    """A row a cell and test metric, in the columns of the leaderboard."""
    rows = (
        _score(cell, metric, cell.directions.get(metric, ""))
        for cell in results.cells
        for metric in _test_metrics(cell)
    )
    return frame(SCORES, sorted(rows, key=_best_first))


def runs(results: Results) -> pd.DataFrame:
    """A row a finished run of a cell.

    A seed is a name here: it may have more bits than a number column.
    """
    columns = ("run_id", "role", "variant", "dataset", "seed", "status", "reason", "digest")
    rows = (
        (r.run_id, r.role, r.variant, r.dataset, str(r.seed), r.status, r.reason, r.digest)
        for r in sorted(results.runs, key=_by_place)
    )
    return frame(dict.fromkeys(columns, "str"), rows)


def best_params(results: Results) -> pd.DataFrame:
    """A row a cell and hyper-parameter of its best trial; values that are no text as JSON."""
    columns = ("study", "variant", "dataset", "profile", "parameter", "value")
    rows = (
        (cell.study, cell.variant, cell.dataset, cell.profile, parameter, _json(value))
        for cell in results.cells
        if cell.best
        for parameter, value in sorted(cell.best.hyperparameters.items())
    )
    return frame(dict.fromkeys(columns, "str"), rows)


def failures(results: Results) -> pd.DataFrame:
    """A row a failed run, then one a cell that could have no final, with the reasons."""
    columns = ("run_id", "role", "variant", "dataset", "status", "reason")
    rows = [
        (r.run_id, r.role, r.variant, r.dataset, r.status, r.reason)
        for r in sorted(results.runs, key=_by_place)
        if r.status == "failed"
    ]
    rows += [
        ("", "cell", cell.variant, cell.dataset, "no final", cell.reason)
        for cell in results.cells
        if cell.reason and not cell.scored
    ]
    return frame(dict.fromkeys(columns, "str"), rows)


def data(results: Results) -> pd.DataFrame:
    """A row each different data that runs saw."""
    columns = ("dataset", "state", "samples", "sha256")
    seen = {
        (r.data.dataset, r.data.state, r.data.samples, r.data.sha256)
        for r in results.runs
        if r.data
    }
    return frame(dict.fromkeys(columns, "str"), sorted(seen))


COSTS = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    "profile": "str",
    "trials": "int64",
    "pruned": "int64",
    "saved_epochs": "int64",
    "failed": "int64",
    "finals": "int64",
    "parameters": "Int64",
    "flops_per_sample": "Int64",
    "seconds": "float64",
    "train_seconds": "float64",
    "samples_per_second": "float64",
    "peak_memory_bytes": "Int64",
    "total_seconds": "float64",
}

COSTS_NOTE = """\
- **trials** finished, of which **pruned**, which saved so many epochs, and **failed**; **finals**
  completed.
- **parameters** to **peak_memory_bytes** are of a completed final: means over finals, but the
  highest peak of memory. **seconds** is a whole run, **train_seconds** its training alone.
- **total_seconds** sums all trials and finals of the cell, and the runs that they rest on.
"""


def costs(results: Results) -> pd.DataFrame:
    """A row a cell: what its runs cost. The only table of clock figures."""
    order = sorted(results.cells, key=lambda c: (c.task, c.dataset, c.profile, c.variant))
    return frame(COSTS, map(_cost, order))


TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    table.__name__: table
    for table in (leaderboard, metrics, runs, best_params, pareto, failures, data, costs)
}
NOTES = {
    "leaderboard": SCORES_NOTE,
    "metrics": SCORES_NOTE,
    "pareto": PARETO_NOTE,
    "costs": COSTS_NOTE,
}


def write_tables(results: Results, folder: Path) -> None:
    """Writes each table as CSV and Markdown."""
    for name, make in TABLES.items():
        table = make(results)
        write(folder / f"{name}.csv", csv(table))
        write(folder / f"{name}.md", markdown(table, NOTES.get(name, "")))


def data_states(cell: Cell) -> str:
    """The states of the data behind a cell's figures; the cell's own while it has none."""
    return " + ".join(sorted({run.data.state for run in cell.scored if run.data})) or cell.data


def rank(mean: float, direction: str) -> tuple[bool, float]:
    """Sorts best first, and what has no figure last."""
    if math.isnan(mean):
        return True, 0.0
    return False, -mean if direction == "maximize" else mean


def _score(cell: Cell, metric: str, direction: str) -> tuple[Any, ...]:
    name = f"test/{metric}"
    mean, low, high, n = interval([r.metrics[name] for r in cell.scored if name in r.metrics])
    where = (cell.task, cell.dataset, cell.variant, metric, direction)
    return (*where, mean, low, high, n, data_states(cell), cell.profile)


def _best_first(row: Sequence[Any]) -> tuple[Any, ...]:
    task, dataset, variant, metric, direction, mean, *_, profile = row
    return (task, dataset, profile, metric, rank(mean, direction), variant)


def _test_metrics(cell: Cell) -> list[str]:
    names = {name for run in cell.scored for name in run.metrics}
    return sorted(name.removeprefix("test/") for name in names if name.startswith("test/"))


def _by_place(run: Run) -> tuple[Any, ...]:
    role = ("base", "trial", "final").index(run.role)
    return (run.dataset, run.variant, role, run.seed, run.run_id)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _cost(cell: Cell) -> tuple[Any, ...]:
    statuses = [trial.status for trial in cell.trials]

    def mean(name: str) -> float:
        return interval(_known(cell.scored, name)).mean

    peak = max(_known(cell.scored, "peak_memory_bytes"), default=math.nan)
    return (
        cell.task,
        cell.dataset,
        cell.variant,
        cell.profile,
        len(statuses),
        statuses.count("pruned"),
        cell.saved_epochs,
        statuses.count("failed"),
        len(cell.scored),
        _whole(mean("parameters")),
        _whole(mean("flops_per_sample")),
        mean("seconds"),
        mean("train_seconds"),
        mean("samples_per_second"),
        _whole(peak),
        math.fsum(_known((*cell.bases, *cell.trials, *cell.finals), "seconds")),
    )


def _known(runs: Iterable[Run], name: str) -> list[float]:
    """The finite figures that these runs have of a cost."""
    return [cost for run in runs if math.isfinite(cost := run.costs.get(name, math.nan))]


def _whole(number: float) -> int | None:
    return round(number) if math.isfinite(number) else None
