"""Figures at paper size: comparisons, learning curves and costs a dataset, ranks a task.

Drawn on bare `Figure` objects, without pyplot's global state; equal results give equal files. What
has been drawn from the same numbers by the same code is left as it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.aggregates import Across, across
from reports.formats import one_line, stem, write
from reports.pareto import front
from reports.records import Cell, Results
from reports.standings import Standing, scores, standings
from reports.tables import data_states, power

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
INK, LINE, PAPER = "#101112", "#d1d2d3", "#ffffff"
"""Colours that a page may replace by its own."""

_STYLE = {
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # text stays text
    "axes.formatter.useoffset": False,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # else it is sought anew at each drawing, which takes a sixth of the time
    "grid.linewidth": 0.8,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": LINE,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}
_SHAPES = "os^DvPX*<>"


@dataclass(frozen=True)
class Drawing:
    """A figure to be: its file's stem, what it shows in words, all it depends on, how to draw."""

    name: str
    title: str
    group: tuple[str, str]
    """Task and profile: figures of one group are read together."""
    key: str
    draw: Callable[[], Figure]


def drawings(results: Results) -> list[Drawing]:
    """All figures of these results, in the order to read them."""
    return [*_drawings(results)]


def write_figures(
    figures: Sequence[Drawing], folder: Path, formats: Sequence[str] = FORMATS
) -> None:
    """Writes `<name>.svg` and `<name>.png`, and removes those of other results."""
    known_path = folder / "drawn.json"
    known = _known(known_path)
    keys = {
        f"{figure.name}.{suffix}": f"{_code()} {figure.key}"
        for figure in figures
        for suffix in formats
    }
    for figure in figures:
        names = [f"{figure.name}.{suffix}" for suffix in formats]
        stale = [
            name for name in names if known.get(name) != keys[name] or not (folder / name).is_file()
        ]
        if stale:
            for name, content in _rendered(figure, stale):
                write(folder / name, content)
    for suffix in formats:
        for old in folder.glob(f"*.{suffix}"):
            if old.name not in keys:
                old.unlink()
    write(known_path, json.dumps(known | keys, indent=1, sort_keys=True))


def _rendered(figure: Drawing, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    import matplotlib as mpl
    import seaborn as sns

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box
        sns.set_theme(style="whitegrid", rc=_STYLE | {"svg.hashsalt": figure.name})
        drawn = figure.draw()
        for name in names:
            image = io.BytesIO()
            undated = {"Software": None} if name.endswith(".png") else {"Date": None}
            drawn.savefig(image, format=name[-3:], dpi=200, metadata=undated)
            yield name, image.getvalue()


def _drawings(results: Results) -> Iterator[Drawing]:
    for a in across(results):
        if a.ranks.can_tell:
            words = f"{a.task}: mean ranks over {len(a.datasets)} datasets (profile {a.profile})"
            name = stem("ranks", a.task, a.profile)
            yield Drawing(name, words, (a.task, a.profile), _key(a), partial(_ranks, a, words))
    for group in standings(results):
        first = group[0].cell
        where = f"{first.task} on {first.dataset} (profile {first.profile})"
        place = (first.task, first.dataset, first.profile)

        def part(
            kind: str,
            about: str,
            draw: Callable[[list[Standing], str], Figure],
            shown: list[Standing],
            where: str = where,
            place: tuple[str, str, str] = place,
        ) -> Drawing:
            words = f"{about}: {where}"
            key = _key([_shown(s) for s in shown])
            draws = partial(draw, shown, words)
            return Drawing(stem(kind, *place), words, (place[0], place[2]), key, draws)

        yield part("comparison", "Test scores", _comparison, group)
        trained = [s for s in group if any(run.epochs for run in s.cell.scored)]
        if trained:

            def learning(shown: list[Standing], words: str) -> Figure:
                return _learning(results, shown, words)

            yield part("curves", "Learning curves", learning, trained)
        priced = [s for s in group if _seconds(s.cell)]
        if len(priced) > 1:
            yield part("costs", "Cost against quality", _pareto, priced)


def _comparison(group: list[Standing], words: str) -> Figure:
    """Mean, interval and seeds of each variant, best on top; one without finals keeps its line."""
    figure, axes = _axes(0.7 + 0.24 * len(group), left=1.5)
    for y, standing in enumerate(group):
        values = [*scores(standing.cell).values()]
        mean, low, high, n, _ = standing.score
        if n == 0:
            middle = axes.get_yaxis_transform()
            axes.text(0.5, y, "no final", transform=middle, ha="center", va="center", fontsize=8)
            continue
        color = _blue()
        axes.plot([low, high], [y, y], color=color, linewidth=1.5)
        axes.plot(values, [y] * n, "|", color=INK, markersize=8, alpha=0.6)
        axes.plot(mean, y, "o", color=color, markersize=6 if standing.mark == "best" else 4)
    _names(axes, [s.cell.variant for s in group])
    cell = group[0].cell
    axes.set_xlabel(
        f"test {one_line(cell.metric)} ({_better(cell)})\n"
        "dot: mean, line: 95 % interval, tick: a seed"
    )
    axes.set_title(_title(words, group))
    return figure


def _learning(results: Results, group: list[Standing], words: str) -> Figure:
    """Means over finals of the validation metric and of both losses, which share their axis; a
    line a variant.
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    figure, panels = _axes(2.6, left=0.7, right=1.8, lines=3, columns=3, width=9.7)
    panels[2].sharey(panels[1])
    shown = (f"validation/{group[0].cell.metric}", "train/loss", "validation/loss")
    for axes, metric in zip(panels, shown, strict=True):
        for number, standing in enumerate(sorted(group, key=lambda s: s.cell.variant)):
            finals = _finals(results, standing.cell, metric)
            if finals.empty:
                continue
            by_epoch = finals.groupby("epoch")["value"].agg(["mean", "min", "max", "count"])
            by_epoch = by_epoch[by_epoch["count"] == by_epoch["count"].max()]
            look = _look(number)
            axes.plot(
                by_epoch.index,
                by_epoch["mean"],
                label=one_line(standing.cell.variant)[:30],
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
    if _wide(panels[1]):
        for axes in panels[1:]:
            axes.set_yscale("symlog", linthresh=1)
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(
        lines, names, loc="upper left", bbox_to_anchor=(1 - 1.75 / 9.7, 0.82), frameon=False
    )
    figure.suptitle(
        _title(words, group, "line: mean over seeds, band: least and greatest"),
        x=0.02,
        ha="left",
        fontsize=9,
    )
    return figure


def _wide(axes: Axes) -> bool:
    """Whether lines differ so much in height that one hides the others: losses are each its own."""
    import numpy as np

    heights = [float(np.abs(np.asarray(line.get_ydata())).max()) for line in axes.get_lines()]
    return bool(heights) and max(heights) > 20 * min(heights)


def _pareto(group: list[Standing], words: str) -> Figure:
    """Seconds of a final against its score; the line joins what nothing beats in both."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, axes = _axes(2.8, left=0.8, right=1.7, lines=3)
    shown = sorted(group, key=lambda s: s.cell.variant)
    points = [(_seconds(s.cell), s.score.mean) for s in shown]
    for number, (standing, point) in enumerate(zip(shown, points, strict=True)):
        look = _look(number) | {"linestyle": "none"}
        axes.plot(*point, label=one_line(standing.cell.variant)[:30], markersize=6, **look)
    sign = -1 if group[0].cell.direction == "maximize" else 1
    unbeaten = reversed(front([(sign * mean, seconds) for seconds, mean in points]))
    axes.plot(
        *zip(*(points[n] for n in unbeaten), strict=True),
        color=INK,
        linewidth=0.8,
        alpha=0.6,
        zorder=1,
    )
    axes.set_xscale("log")
    axes.margins(0.08)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("seconds of a final, mean over seeds")
    axes.set_ylabel(f"test {one_line(group[0].cell.metric)}\n({_better(group[0].cell)})")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.set_title(_title(words, group, "joined: nothing is both cheaper and better"))
    return figure


def _ranks(a: Across, words: str) -> Figure:
    """Mean ranks, best on top, and how far from the best is told apart."""
    from matplotlib.ticker import MaxNLocator

    order = sorted(a.ranks.mean, key=lambda v: (a.ranks.mean[v], v))
    figure, axes = _axes(0.7 + 0.24 * len(order), left=1.5, lines=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    best = a.ranks.mean[order[0]]
    axes.axvspan(best, best + a.ranks.critical_difference, color=_blue(), alpha=0.15, linewidth=0)
    axes.plot([a.ranks.mean[v] for v in order], range(len(order)), "o", color=_blue())
    _names(axes, order)
    axes.set_xlim(0.8, len(order) + 0.2)
    axes.set_xlabel(
        "mean rank (1 is best); shaded: not told from the best\n"
        f"(Nemenyi, 5 %); Friedman p = {a.ranks.p:.2g}"
    )
    told = power(a).replace(": ", ":\n", 1)
    axes.set_title(f"{one_line(words)}\n{told}")
    return figure


def _axes(
    height: float,
    *,
    left: float,
    right: float = 0.2,
    lines: int = 2,
    columns: int = 1,
    width: float = 5.5,
) -> tuple[Figure, Any]:
    """A figure, in inches, whose axes are `height` high, under a title of `lines`."""
    from matplotlib.figure import Figure

    top, bottom = 0.15 + 0.17 * lines + 0.2 * (columns > 1), 0.65
    figure = Figure(figsize=(width, height + top + bottom))
    axes = figure.subplots(1, columns)
    total = height + top + bottom
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        top=1 - top / total,
        bottom=bottom / total,
        wspace=0.3,
    )
    for one in axes if columns > 1 else [axes]:
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    return figure, axes


def _names(axes: Axes, names: Sequence[str]) -> None:
    short = [name if len(name) <= 20 else f"{name[:19]}…" for name in map(one_line, names)]
    axes.set_yticks(range(len(names)), short)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def _look(number: int) -> dict[str, Any]:
    """A colour and a shape of marker, so that no two of a hundred variants look alike."""
    import seaborn as sns

    colours = sns.color_palette("deep")
    return {
        "color": colours[number % len(colours)],
        "marker": _SHAPES[(number // len(colours) + number) % len(_SHAPES)],
        "linewidth": 1.3,
    }


def _blue() -> Any:
    return _look(0)["color"]


def _finals(results: Results, cell: Cell, metric: str) -> Any:
    """The finite points of the completed finals."""
    from reports.index import curves

    points = curves(results, cell, metric)
    shown = points["run_id"].isin([run.run_id for run in cell.scored])
    finite = points["value"].map(math.isfinite) if len(points) else shown
    return points[shown & finite]


def _seconds(cell: Cell) -> float:
    """Mean seconds of a final; 0 where not known."""
    known = [s for run in cell.scored if math.isfinite(s := run.cost("seconds"))]
    return math.fsum(known) / len(known) if known else 0.0


def _title(words: str, group: list[Standing], further: str = "") -> str:
    counts = sorted({standing.score.n for standing in group})
    n = "–".join(map(str, counts if len(counts) < 2 else (counts[0], counts[-1])))
    states = sorted({state for s in group if (state := data_states(s.cell))})
    seeds = "seed" if counts == [1] else "seeds"
    lines = [one_line(words)[:90], f"n = {n} {seeds}, data: {', '.join(states) or 'none yet'}"]
    return "\n".join([*lines, further] if further else lines)


def _better(cell: Cell) -> str:
    return "higher is better" if cell.direction == "maximize" else "lower is better"


def _shown(standing: Standing) -> tuple[object, ...]:
    """All of a cell that a figure may show."""
    cell = standing.cell
    names = (cell.study, cell.variant, cell.metric, cell.direction, data_states(cell))
    return (*names, standing.score, standing.mark, cell.stamps(cell.scored))


def _key(numbers: object) -> str:
    return hashlib.sha256(repr(numbers).encode()).hexdigest()


def _code() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def _known(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
