"""Figures: learning curves of each cell, and the variants of each dataset side by side.

Drawn on bare `Figure` objects, without pyplot's global state; equal results give equal files.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.formats import one_line, write
from reports.records import Cell, Results, Run, curve
from reports.statistics import interval
from reports.tables import data_states, rank

STYLE = {
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "text.parse_math": False,  # a $ in a name is a $
    "axes.formatter.useoffset": False,
    "svg.hashsalt": "capsbench",
    "grid.color": "0.92",
    "grid.linewidth": 0.8,
    "axes.edgecolor": "0.6",
    "axes.linewidth": 0.8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
}
BLUE, GREY = sns.color_palette("deep")[0], "0.75"

Curve = dict[int, float]


def write_figures(results: Results, folder: Path) -> None:
    """Writes `curves-<study>` and `comparison-<dataset>-<task>-<profile>`, as PNG and SVG."""
    with mpl.rc_context():
        sns.set_theme(style="whitegrid", rc=STYLE)
        for name, figure in _figures(results):
            for suffix, undated in (("png", {"Software": None}), ("svg", {"Date": None})):
                image = io.BytesIO()
                figure.savefig(image, format=suffix, dpi=120, metadata=undated)
                write(folder / f"{name}.{suffix}", image.getvalue())


def _figures(results: Results) -> Iterator[tuple[str, Figure]]:
    for cell in results.cells:
        metric = f"validation/{cell.metric}"
        trials, finals = (_curves(results, runs, metric) for runs in (cell.trials, cell.scored))
        if trials or finals:
            yield f"curves-{cell.study}", _learning(cell, trials, finals)
    for place, cells in groupby(sorted(results.cells, key=_place), key=_place):
        name = re.sub(r"[^\w.-]", "_", "-".join(("comparison", *place)))
        yield name, _comparison(list(cells))


def _learning(cell: Cell, trials: list[Curve], finals: list[Curve]) -> Figure:
    """Validation metric by epoch: each trial, each final, and the finals' mean."""
    figure = Figure(figsize=(5, 3.2))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.16, right=0.97, top=0.86, bottom=0.15)
    _draw(axes, trials, label=f"trials ({len(trials)})", color=GREY, linewidth=0.8)
    _draw(axes, finals, label=f"finals ({len(finals)})", color=BLUE, linewidth=0.8, alpha=0.5)
    shared = set.intersection(*map(set, finals)) if len(finals) > 1 else set()
    mean = {epoch: interval([final[epoch] for final in finals]).mean for epoch in shared}
    _draw(axes, [mean], label="mean of finals", color=BLUE, linewidth=2)
    axes.set_ylim(_limits(trials, finals))
    axes.set_xlim(0.5, max(map(max, (*trials, *finals))) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set(xlabel="epoch", ylabel=f"validation {cell.metric}\n({_better(cell)})")
    axes.set_title(_title(f"{cell.variant} on {cell.dataset}", [cell]))
    axes.legend(loc="best")
    sns.despine(ax=axes)
    return figure


def _comparison(cells: list[Cell]) -> Figure:
    """Mean, interval and seeds of each variant, best on top; one without finals keeps its line."""
    scores = {
        cell.study: [run.metrics[f"test/{cell.metric}"] for run in cell.scored] for cell in cells
    }
    cells.sort(key=lambda c: (rank(interval(scores[c.study]).mean, c.direction), c.variant))
    figure = Figure(figsize=(5.5, 1.4 + 0.3 * len(cells)))
    inch = 1 / figure.get_figheight()
    axes = figure.subplots()
    figure.subplots_adjust(left=0.25, right=0.96, top=1 - 0.5 * inch, bottom=0.7 * inch)
    for y, cell in enumerate(cells):
        _whisker(axes, y, scores[cell.study])
    axes.set_yticks(range(len(cells)), [one_line(cell.variant) for cell in cells])
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xlabel(
        f"test {cells[0].metric} ({_better(cells[0])})\n"
        "dot: mean, line: 95 % Student-t interval, tick: a seed",
        fontsize=8,
    )
    axes.set_title(_title(f"{cells[0].task} on {cells[0].dataset}", cells))
    sns.despine(ax=axes, left=True)
    return figure


def _whisker(axes: Axes, y: int, values: list[float]) -> None:
    mean, low, high, n = interval(values)
    if n == 0:
        middle = axes.get_yaxis_transform()
        axes.text(0.5, y, "no final", transform=middle, ha="center", va="center", fontsize=8)
        return
    axes.plot([low, high], [y, y], color=BLUE, linewidth=1.5)
    axes.plot(values, [y] * n, "|", color="0.4", markersize=8)
    axes.plot(mean, y, "o", color=BLUE, markersize=6)


def _curves(results: Results, runs: tuple[Run, ...], metric: str) -> list[Curve]:
    """The finite points of each run that has any."""
    curves = (curve(results, run, metric) for run in runs)
    finite = ({e: value for e, value in c.items() if math.isfinite(value)} for c in curves)
    return [points for points in finite if points]


def _draw(axes: Axes, curves: list[Curve], **style: Any) -> None:
    """Draws all curves as one line with gaps between them, so that the legend has it once."""
    gap = (math.nan, math.nan)
    points = [point for curve in curves if curve for point in (*sorted(curve.items()), gap)]
    if points:
        axes.plot(*zip(*points, strict=True), marker=".", markersize=4, **style)


def _limits(trials: list[Curve], finals: list[Curve]) -> tuple[float, float]:
    """All of the finals, and of the trials what lies near: one that diverged must not hide all."""
    values = np.array([value for curve in (*trials, *finals) for value in curve.values()])
    low, high = np.quantile(values, [0.25, 0.75])
    reach = 3 * (high - low)
    kept = [*values[(values >= low - reach) & (values <= high + reach)]]
    kept += [value for final in finals for value in final.values()]
    margin = 0.05 * (max(kept) - min(kept)) or 0.05 * abs(kept[0]) or 1.0
    return min(kept) - margin, max(kept) + margin


def _title(what: str, cells: list[Cell]) -> str:
    counts = sorted({len(cell.scored) for cell in cells})
    n = "–".join(map(str, counts if len(counts) < 2 else (counts[0], counts[-1])))
    states = sorted({state for cell in cells if (state := data_states(cell))})
    data = ", ".join(states) or "none yet"
    return f"{one_line(what)}, profile {cells[0].profile}\nn = {n} seeds, data: {data}"


def _better(cell: Cell) -> str:
    return "higher is better" if cell.direction == "maximize" else "lower is better"


def _place(cell: Cell) -> tuple[str, str, str]:
    return cell.dataset, cell.task, cell.profile
