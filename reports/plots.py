"""Draws scores, learning curves and the matrix on given axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.formats import one_line, readable
from reports.results import Cell, Results
from reports.statistics.ranking import RankedCell, scores_of_finals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#101112"
_SHAPES = "os^DvPX*<>"


def draw_scores(axes: Axes, group: Sequence[RankedCell]) -> Axes:
    """Draws mean, 95 % interval and seeds of each variant of one dataset, best on top.

    The line of a variant without finals says so.
    """
    for y, ranked in enumerate(group):
        values = [*scores_of_finals(ranked.cell).values()]
        mean, low, high, n, _ = ranked.score
        if n == 0:
            middle = axes.get_yaxis_transform()
            axes.text(0.5, y, "no final", transform=middle, ha="center", va="center", fontsize=8)
            continue
        color = blue()
        axes.plot([low, high], [y, y], color=color, linewidth=1.5)
        axes.plot(values, [y] * n, "|", color=INK, markersize=8, alpha=0.6)
        axes.plot(mean, y, "o", color=color, markersize=6 if ranked.mark == "best" else 4)
    name_rows(axes, [s.cell.variant for s in group])
    cell = group[0].cell
    axes.set_xlabel(
        f"test {one_line(cell.metric)} ({better(cell)})\n"
        "dot: mean, line: 95 % interval, tick: a seed"
    )
    return axes


def draw_curves(axes: Axes, results: Results, group: Sequence[RankedCell], metric: str) -> Axes:
    """Draws a metric by epoch: for each variant the mean of its finals, and a band from the least
    to the greatest.

    Args:
        axes: where to draw.
        results: the results, in whose folder the metrics are.
        group: the rankings of one dataset.
        metric: with its split, such as `train/loss`.
    """
    from matplotlib.ticker import MaxNLocator

    for number, ranked in enumerate(sorted(group, key=lambda s: s.cell.variant)):
        finals = _finals(results, ranked.cell, metric)
        if finals.empty:
            continue
        by_epoch = finals.groupby("epoch")["value"].agg(["mean", "min", "max", "count"])
        by_epoch = by_epoch[by_epoch["count"] == by_epoch["count"].max()]
        look = look_of(number)
        axes.plot(
            by_epoch.index,
            by_epoch["mean"],
            label=one_line(ranked.cell.variant)[:30],
            markersize=4,
            markevery=max(1, len(by_epoch) // 8),
            **look,
        )
        axes.fill_between(
            by_epoch.index,
            by_epoch["min"],
            by_epoch["max"],
            color=look["color"],
            alpha=0.15,
            linewidth=0,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.set_title(one_line(metric.replace("/", " ")))
    return axes


def draw_matrix(axes: Axes, means: pd.DataFrame, cells: Mapping[str, Cell]) -> Axes:
    """Draws a heat map of means: in each dataset the best is darkest, and the worst is white.

    Args:
        axes: where to draw.
        means: variants in rows, datasets in columns.
        cells: any cell of each dataset, which knows its metric and the better direction.
    """
    shade = means.copy()
    for dataset in means:
        column = means[dataset]
        width = column.max() - column.min()
        share = (column - column.min()) / width if width else column * 0
        shade[dataset] = share if cells[str(dataset)].direction == "maximize" else 1 - share
    axes.imshow(shade.to_numpy(), cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    for y, row in enumerate(means.itertuples(index=False)):
        for x, value in enumerate(row):
            axes.text(x, y, readable(value), ha="center", va="center", fontsize=8, color=INK)
    names = [f"{one_line(str(d))}\n{one_line(cells[str(d)].metric)}" for d in means]
    axes.set_xticks(range(len(names)), names)
    name_rows(axes, [str(name) for name in means.index])
    axes.tick_params(length=0)
    axes.grid(False)
    return axes


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names the rows of axes, from top to bottom; long names are cut."""
    short = [name if len(name) <= 20 else f"{name[:19]}…" for name in map(one_line, names)]
    axes.set_yticks(range(len(names)), short)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def look_of(number: int) -> dict[str, Any]:
    """Returns a colour and a shape of marker, so that no two of a hundred variants look alike."""
    import seaborn as sns

    colours = sns.color_palette("deep")
    return {
        "color": colours[number % len(colours)],
        "marker": _SHAPES[(number // len(colours) + number) % len(_SHAPES)],
        "linewidth": 1.3,
    }


def blue() -> Any:
    """Returns the colour of figures with one colour."""
    return look_of(0)["color"]


def better(cell: Cell) -> str:
    """Says which way the primary metric of a cell is better."""
    return "higher is better" if cell.direction == "maximize" else "lower is better"


def _finals(results: Results, cell: Cell, metric: str) -> Any:
    """Reads the finite values of a metric of the completed finals by epoch."""
    from reports.curve_index import curves

    points = curves(results, cell, metric)
    shown = points["run_id"].isin([run.run_id for run in cell.scored])
    finite = points["value"].map(math.isfinite) if len(points) else shown
    return points[shown & finite]
