"""Draws figures at paper size: comparison, learning curves and costs of a dataset, ranks of a task.

Figures are drawn on bare `Figure` objects, without pyplot's global state. Equal results give equal
files. A figure that was drawn from the same numbers by the same code is not drawn again.
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

from reports import plots
from reports.flags import data_states
from reports.forked import SharedWork
from reports.formats import one_line, stem, write
from reports.plots import INK, better, blue, draw_curves, draw_scores, look_of, name_rows
from reports.results import Cell, Results
from reports.statistics.aggregates import Across, across
from reports.statistics.ranking import RankedCell, rankings
from reports.tables.dataset_ranks import power
from reports.tables.pareto_fronts import front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USUAL = ("svg", "png")
FORMATS = (*USUAL, "pdf")
_LINE = "#d1d2d3"

_STYLE = {
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,  # TrueType: publishers refuse the other type
    "axes.formatter.useoffset": False,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # a fixed height: the search for a free one takes a sixth of the time
    "grid.linewidth": 0.8,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": _LINE,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}

_UNDATED = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}
"""Metadata that would differ between drawings of the same numbers, by format."""


@dataclass(frozen=True)
class Drawing:
    """Holds the name, title and key of a figure, and the function that draws it."""

    name: str
    title: str
    group: tuple[str, str]
    """Task and profile."""
    key: str
    draw: Callable[[], Figure]


def drawings(results: Results) -> list[Drawing]:
    """Lists all figures of these results, in the order in which they are read."""
    return [*_drawings(results)]


def begin_figures(
    figures: Sequence[Drawing], folder: Path, formats: Sequence[str] = USUAL
) -> Callable[[], None]:
    """Begins to write `<name>.<format>` for each figure and format, in other processes.

    Returns:
        A function that waits until all are written, and deletes the figures of other results.
    """
    known_path = folder / "drawn.json"
    known = _known(known_path)
    keys = {
        f"{figure.name}.{suffix}": f"{_code()} {figure.key}"
        for figure in figures
        for suffix in formats
    }
    stale = []
    for figure in figures:
        names = [f"{figure.name}.{suffix}" for suffix in formats]
        missing = [n for n in names if known.get(n) != keys[n] or not (folder / n).is_file()]
        if missing:
            stale.append((figure, missing))
    shared = SharedWork(partial(_write, folder), stale, fewest=4)

    def finish() -> None:
        shared.finish()
        for suffix in formats:
            for old in folder.glob(f"*.{suffix}"):
                if old.name not in keys:
                    old.unlink()
        write(known_path, json.dumps(known | keys, indent=1, sort_keys=True))

    return finish


def _write(folder: Path, stale: tuple[Drawing, Sequence[str]]) -> None:
    """Draws a figure, and writes the named files of it."""
    import matplotlib as mpl
    import seaborn as sns

    figure, names = stale
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box
        sns.set_theme(style="whitegrid", rc=_STYLE | {"svg.hashsalt": figure.name})
        drawn = figure.draw()
        for name in names:
            image = io.BytesIO()
            drawn.savefig(image, format=name[-3:], dpi=200, metadata=_UNDATED[name[-3:]])
            write(folder / name, image.getvalue())


def _drawings(results: Results) -> Iterator[Drawing]:
    for a in across(results):
        if a.ranks.can_tell:
            words = f"{a.task}: mean ranks over {len(a.datasets)} datasets (profile {a.profile})"
            name = stem("ranks", a.task, a.profile)
            yield Drawing(name, words, (a.task, a.profile), _key(a), partial(_ranks, a, words))
    for group in rankings(results):
        first = group[0].cell
        where = f"{first.task} on {first.dataset} (profile {first.profile})"
        place = (first.task, first.dataset, first.profile)

        def part(
            kind: str,
            about: str,
            draw: Callable[[list[RankedCell], str], Figure],
            shown: list[RankedCell],
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

            def learning(shown: list[RankedCell], words: str) -> Figure:
                return _learning(results, shown, words)

            yield part("curves", "Learning curves", learning, trained)
        priced = [s for s in group if _seconds(s.cell)]
        if len(priced) > 1:
            yield part("costs", "Cost against quality", _pareto, priced)


def _comparison(group: list[RankedCell], words: str) -> Figure:
    """Draws the scores of each variant, best on top; one without finals keeps its line."""
    figure, axes = _axes(0.7 + 0.24 * len(group), left=1.5)
    draw_scores(axes, group)
    axes.set_title(_title(words, group))
    return figure


def _learning(results: Results, group: list[RankedCell], words: str) -> Figure:
    """Draws the validation metric and both losses, which share their axis, one line per variant."""
    from matplotlib.ticker import StrMethodFormatter

    figure, panels = _axes(2.6, left=0.7, right=1.8, lines=3, columns=3, width=9.7)
    panels[2].sharey(panels[1])
    shown = (f"validation/{group[0].cell.metric}", "train/loss", "validation/loss")
    for axes, metric in zip(panels, shown, strict=True):
        draw_curves(axes, results, group, metric)
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
    """Says whether the highest line is more than 20 times as high as the lowest, and hides it."""
    import numpy as np

    heights = [float(np.abs(np.asarray(line.get_ydata())).max()) for line in axes.get_lines()]
    return bool(heights) and max(heights) > 20 * min(heights)


def _pareto(group: list[RankedCell], words: str) -> Figure:
    """Draws the seconds of a final and its score; a line joins variants that none beats in both."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, axes = _axes(2.8, left=0.8, right=1.7, lines=3)
    shown = sorted(group, key=lambda s: s.cell.variant)
    points = [(_seconds(s.cell), s.score.mean) for s in shown]
    for number, (ranked, point) in enumerate(zip(shown, points, strict=True)):
        look = look_of(number) | {"linestyle": "none"}
        axes.plot(*point, label=one_line(ranked.cell.variant)[:30], markersize=6, **look)
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
    axes.set_ylabel(f"test {one_line(group[0].cell.metric)}\n({better(group[0].cell)})")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.set_title(_title(words, group, "joined: nothing is both cheaper and better"))
    return figure


def _ranks(a: Across, words: str) -> Figure:
    """Draws mean ranks, best on top, and the critical difference from the best."""
    from matplotlib.ticker import MaxNLocator

    order = sorted(a.ranks.mean, key=lambda v: (a.ranks.mean[v], v))
    figure, axes = _axes(0.7 + 0.24 * len(order), left=1.5, lines=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    best = a.ranks.mean[order[0]]
    axes.axvspan(best, best + a.ranks.critical_difference, color=blue(), alpha=0.15, linewidth=0)
    axes.plot([a.ranks.mean[v] for v in order], range(len(order)), "o", color=blue())
    name_rows(axes, order)
    axes.set_xlim(0.8, len(order) + 0.2)
    axes.set_xlabel(
        "mean rank (1 is best); shaded: not significantly worse than the best\n"
        f"(Nemenyi, 5 %); Friedman p = {a.ranks.p:.2g}"
    )
    note = power(a).replace(": ", ":\n", 1)
    axes.set_title(f"{one_line(words)}\n{note}")
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
    """Makes a figure with axes of a height in inches, below a title of `lines` lines."""
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


def _seconds(cell: Cell) -> float:
    """Averages the seconds of finals; 0 if unknown."""
    known = [s for run in cell.scored if math.isfinite(s := run.cost("seconds"))]
    return math.fsum(known) / len(known) if known else 0.0


def _title(words: str, group: list[RankedCell], further: str = "") -> str:
    counts = sorted({ranked.score.n for ranked in group})
    n = "–".join(map(str, counts if len(counts) < 2 else (counts[0], counts[-1])))
    states = sorted({state for s in group if (state := data_states(s.cell))})
    seeds = "seed" if counts == [1] else "seeds"
    lines = [one_line(words)[:90], f"n = {n} {seeds}, data: {', '.join(states) or 'none yet'}"]
    return "\n".join([*lines, further] if further else lines)


def _shown(ranked: RankedCell) -> tuple[object, ...]:
    """Collects all that a figure may show of a cell."""
    cell = ranked.cell
    names = (cell.study, cell.variant, cell.metric, cell.direction, data_states(cell))
    return (*names, ranked.score, ranked.mark, cell.stamps(cell.scored))


def _key(numbers: object) -> str:
    return hashlib.sha256(repr(numbers).encode()).hexdigest()


def _code() -> str:
    sources = Path(__file__).read_bytes() + Path(plots.__file__).read_bytes()
    return hashlib.sha256(sources).hexdigest()[:12]


def _known(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
