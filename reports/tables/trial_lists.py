"""Builds the tables of trials and of hyper-parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.formats import frame, one_line
from reports.results import Cell, Results
from reports.searches import telling_importance
from reports.statistics.intervals import mean

TRIAL = {
    "study": "str",
    "task": "str",
    "variant": "str",
    "dataset": "str",
    "profile": "str",
    "number": "int64",
    "state": "str",
    "metric": "str",
    "direction": "str",
    "value": "float64",
    "runs": "int64",
    "epochs": "int64",
    "run_id": "str",
}
"""The columns of a trial, with their dtypes."""
SETTING = {"parameter": "str", "parameter_value": "float64", "parameter_text": "str"}
"""The columns of a hyper-parameter in tables with one row per hyper-parameter."""
TRIALS = TRIAL | SETTING
BEST_PARAMS = dict.fromkeys(("study", "variant", "dataset", "profile"), "str") | SETTING

SETTING_NOTE = """\
- **parameter_value** is the value of a hyper-parameter that is a number (true: 1, false: 0),
  **parameter_text** that of any other.
"""
IMPORTANCE_NOTE = """\
- **importance** is the share of the trials' spread that a searched hyper-parameter explains, by
  Optuna's PED-ANOVA; the shares of a cell sum to 1. Cells of fewer than twenty **trials** are left
  out, because so few trials do not show it.
"""


@dataclass(frozen=True)
class Trial:
    """Holds one trial of a study, with its runs: one, or one per seed."""

    cell: Cell
    number: int
    """The trial's place in the study, from 0. A trial that repeats all runs of an earlier one has
    no place of its own."""
    runs: tuple[RunRecord, ...]
    planned: int
    """Runs of a trial that was not stopped."""

    @property
    def state(self) -> str:
        """Returns `failed`, `pruned` or `complete`."""
        statuses = {run.status for run in self.runs}
        if "failed" in statuses:
            return "failed"
        return "pruned" if "pruned" in statuses or len(self.runs) < self.planned else "complete"

    @property
    def value(self) -> float:
        """Returns the primary metric on validation data: the mean over seeds; of a pruned trial the
        last score; NaN if there is none."""
        metric = f"validation/{self.cell.metric}"
        found = [run.metrics.get(metric, math.nan) for run in self.runs]
        if self.state == "failed":
            return math.nan
        return found[-1] if self.state == "pruned" else mean(found)


def trials(results: Results) -> pd.DataFrame:
    """Builds one row per trial and searched hyper-parameter, in the order of trial numbers.

    The columns are those of `TRIALS`. A trial whose study has no known searched hyper-parameter has
    one row, with an empty `parameter`.
    """
    return frame(TRIALS, (row for cell in results.cells for row in _long_rows(cell)))


def trials_of(cell: Cell) -> pd.DataFrame:
    """Builds one row per trial of a study.

    Returns:
        The columns of `TRIAL`, then `params_<name>` for each searched hyper-parameter, as Optuna's
        `Study.trials_dataframe` names them.
    """
    found, names = study_trials(cell), searched(cell)
    table = frame(TRIAL, (_row(trial) for trial in found))
    for name in names:
        values = [plain(trial.runs[0].spec.hyperparameters.get(name)) for trial in found]
        table[f"params_{one_line(name)}"] = values
    return table


def study_trials(cell: Cell) -> list[Trial]:
    """Groups the runs of a cell's trials by trial.

    Where the study has as many finished trials as runs, each trial has one run. Else a trial has
    several seeds, and its runs have equal hyper-parameters. Trials without a record are left out.
    """
    single = len(cell.ledger.trials) == cell.ledger.states.finished
    groups: dict[str, list[RunRecord]] = {}
    for number, run in enumerate(cell.trials):
        key = str(number) if single else json.dumps(run.spec.hyperparameters, sort_keys=True)
        groups.setdefault(key, []).append(run)
    numbers = {run_id: number for number, run_id in enumerate(cell.ledger.trials)}
    planned = max(map(len, groups.values()), default=0)
    return [
        Trial(cell, numbers[runs[0].run_id] if single else place, tuple(runs), planned)
        for place, runs in enumerate(groups.values())
    ]


def searched(cell: Cell) -> list[str]:
    """Lists the searched hyper-parameters: those that differ between trials, or have an importance.

    Records hold all hyper-parameters, and do not say which of them were searched.
    """
    values: dict[str, set[str]] = {}
    for run in cell.trials:
        for name, value in run.spec.hyperparameters.items():
            values.setdefault(name, set()).add(json.dumps(value, sort_keys=True))
    varied = {name for name, found in values.items() if len(found) > 1}
    return sorted(varied | (cell.ledger.importance.keys() & values.keys()))


def best_params(results: Results) -> pd.DataFrame:
    """Builds one row per cell and hyper-parameter: of its best trial, or of its finals if there was
    no search."""
    rows = (
        (cell.study, cell.variant, cell.dataset, cell.profile, *setting)
        for cell in results.cells
        if cell.chosen
        for setting in _settings(cell.chosen.spec.hyperparameters)
    )
    return frame(BEST_PARAMS, rows)


def importance(results: Results) -> pd.DataFrame:
    """Builds the table of importances, with one row per cell and searched hyper-parameter.

    A row has the share of the trials' spread that the hyper-parameter explains, and the number of
    finished trials. The most important hyper-parameter of a cell comes first. Cells with too few
    trials are left out.
    """
    columns = dict.fromkeys(("study", "variant", "dataset", "profile", "parameter"), "str")
    rows = (
        (
            *(cell.study, cell.variant, cell.dataset, cell.profile),
            *(name, share, cell.ledger.states.finished),
        )
        for cell in results.cells
        for name, share in sorted(
            telling_importance(cell).items(), key=lambda item: (-item[1], item[0])
        )
    )
    return frame(columns | {"importance": "float64", "trials": "int64"}, rows)


def as_text(value: Any) -> str:
    """Writes the value of a hyper-parameter as JSON; a text is written without quotes."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _long_rows(cell: Cell) -> Iterator[tuple[Any, ...]]:
    names = searched(cell)
    for trial in study_trials(cell):
        chosen = trial.runs[0].spec.hyperparameters
        settings = _settings({name: chosen[name] for name in names if name in chosen})
        for setting in settings or [("", math.nan, "")]:
            yield (*_row(trial), *setting)


def _row(trial: Trial) -> tuple[Any, ...]:
    cell, runs = trial.cell, trial.runs
    return (
        *(cell.study, cell.task, cell.variant, cell.dataset, cell.profile),
        *(trial.number, trial.state, cell.metric, cell.direction, trial.value, len(runs)),
        sum(run.epochs for run in runs),
        runs[0].run_id,
    )


def _settings(values: Mapping[str, Any]) -> Sequence[tuple[str, float, str]]:
    return [(name, *_number_or_text(value)) for name, value in sorted(values.items())]


def _number_or_text(value: Any) -> tuple[float, str]:
    """Returns a value as number and as text: a number has an empty text, a text has the number NaN.

    A text that could be read as a number is quoted, so that a reader of CSV keeps it a text.
    """
    if isinstance(value, bool | int | float):
        return float(value), ""
    if not isinstance(value, str):
        return math.nan, as_text(value)
    try:
        json.loads(value)
    except ValueError:
        return math.nan, value
    return math.nan, json.dumps(value)


def plain(value: Any) -> Any:
    """Makes a value fit for a cell of a DataFrame: lists and objects become JSON."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return one_line(as_text(value))
