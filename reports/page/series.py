"""Collects what the page's charts draw: learning curves and trials of a cell, thinned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from reports.curve_index import curves
from reports.formats import one_line
from reports.page.page_format import Curve, Trials, Value
from reports.page.views import number
from reports.results import Cell, Results
from reports.tables.trial_lists import plain, searched, study_trials

T = TypeVar("T")
POINTS = 60
"""Epochs of a curve, at most: a chart is a few hundred pixels wide."""
MOST_FINALS = 10
"""Finals of a cell whose curves are drawn, at most."""


def learning_curves(results: Results, cell: Cell) -> list[Curve]:
    """Reads the primary validation metric and both losses of the completed finals by epoch."""
    finals = [run for run in cell.scored if run.epochs][:MOST_FINALS]
    if not finals:
        return []
    shown = (f"validation/{cell.metric}", "train/loss", "validation/loss")
    table = curves(results, cell)
    table = table[table["run_id"].isin([run.run_id for run in finals])]
    table = table[table["metric"].isin(list(shown))]
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    columns = (table[name].tolist() for name in ("run_id", "metric", "epoch", "value"))
    for run_id, metric, epoch, value in zip(*columns, strict=True):
        if math.isfinite(value):
            found.setdefault((metric, run_id), []).append((epoch, value))
    return [
        Curve(metric=metric, seed=str(run.seed), points=_rounded(thinned(points)))
        for metric in shown
        for run in finals
        if (points := found.get((metric, run.run_id)))
    ]


def thinned(points: Sequence[T], most: int = POINTS) -> list[T]:
    """Keeps at most `most` points, evenly spaced, with the first and the last."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(place * step)] for place in range(most)]


def trial_rows(cell: Cell) -> Trials:
    """Collects the trials of a cell's study, with their searched hyper-parameters."""
    names = searched(cell)
    rows: list[list[Value]] = []
    for trial in study_trials(cell):
        chosen = trial.runs[0].spec.hyperparameters
        epochs = sum(run.epochs for run in trial.runs)
        values = [_value(plain(chosen.get(name))) for name in names]
        rows.append([trial.number, trial.state, number(trial.value), epochs, *values])
    return Trials(parameters=[one_line(name) for name in names], rows=rows)


def _rounded(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(epoch, float(f"{value:.5g}")) for epoch, value in points]


def _value(value: Value) -> Value:
    return number(value) if isinstance(value, float) else value
