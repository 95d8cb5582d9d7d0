"""Builds what the matrix shows of a cell: score, distance to the best, published, costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.formats import one_line
from reports.intervals import mean
from reports.page.page_format import Entry
from reports.published import beside, gap
from reports.ranking import RankedCell
from reports.results import Cell
from reports.score_texts import (
    difference_text,
    duration,
    is_rate,
    published_text,
    score_text,
    score_texts,
)

VIEWS = {
    "score": "score",
    "behind": "difference to the best",
    "published": "share of published",
    "seconds": "seconds of a run",
    "parameters": "parameters",
}
"""Names of the views, with the words for them."""
NOT_COMPARABLE = "not comparable"


def views(ranked: RankedCell, group: Sequence[RankedCell]) -> dict[str, Entry]:
    """Builds all views of a cell, by the name of the view.

    Args:
        ranked: the cell.
        group: all cells of its task, dataset and profile; the shade shows the cell's place in it.
    """
    return {
        "score": _score(ranked, group),
        "behind": _behind(ranked, group),
        "published": _published(ranked),
        "seconds": _cost(ranked, group, "seconds"),
        "parameters": _cost(ranked, group, "parameters"),
    }


def entry(text: str, small: str = "", order: float = math.nan, shade: float = math.nan) -> Entry:
    """Makes an entry; NaN becomes null."""
    return Entry(text=text, small=small, order=number(order), shade=number(shade))


def number(value: float) -> float | None:
    """Returns a number for JSON: with six significant digits, or None if it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def cost(cell: Cell, name: str) -> float:
    """Averages a cost over the completed finals that know it; NaN if none does."""
    return mean([c for run in cell.scored if math.isfinite(c := run.cost(name))])


def interval_text(ranked: RankedCell) -> tuple[str, str]:
    """Writes a cell's mean, and its interval or why there is none."""
    score, metric = ranked.score, ranked.cell.metric
    text, low, high = score_texts(metric, score.mean, score.low, score.high)
    if low:
        return text, f"{low} to {high}"
    if score.of.startswith("deterministic"):
        return text, "deterministic"
    if score.of == "too few seeds":
        seeds = (score_texts(metric, seed, math.nan, math.nan)[0] for seed in ranked.seeds.values)
        return text, f"seeds: {', '.join(seeds)}"
    return text, ""


def _score(ranked: RankedCell, group: Sequence[RankedCell]) -> Entry:
    text, small = interval_text(ranked)
    return entry(text or "no final", small, _order(ranked), _shade(ranked, group))


def _order(ranked: RankedCell) -> float:
    return -ranked.score.mean if ranked.cell.direction == "maximize" else ranked.score.mean


def _shade(ranked: RankedCell, group: Sequence[RankedCell]) -> float:
    """Places a variant above its floors between the worst (0) and the best (1) of these."""
    if not ranked.above or not ranked.score.n:
        return math.nan
    return _share(_order(ranked), [_order(one) for one in group if one.above and one.score.n])


def _share(order: float, orders: Sequence[float]) -> float:
    worst, best = max(orders), min(orders)
    return (worst - order) / (worst - best) if worst > best else math.nan


def _behind(ranked: RankedCell, group: Sequence[RankedCell]) -> Entry:
    metric = ranked.cell.metric
    if math.isnan(ranked.behind):
        return entry("–" if ranked.score.n else "no final", "", _order(ranked))
    most = difference_text(metric, ranked.at_most)
    small = f"at most {most}" if most and ranked.at_most > 0 else ""
    text = difference_text(metric, ranked.behind)
    return entry(text, small, _order(ranked), _shade(ranked, group))


def _published(ranked: RankedCell) -> Entry:
    """Shows our share of the published figure; where they can't be compared, both figures."""
    cell = ranked.cell
    figure = beside(cell, cell.metric)
    if figure is None or not ranked.score.n:
        return entry("–" if figure is None else "no final")
    if math.isnan(gap(ranked.score.mean, cell, figure)):
        ours = score_text(cell.metric, ranked.score.mean).removesuffix(" %")
        theirs = published_text(cell.metric, figure.value)
        return entry(f"{ours} of {theirs}", NOT_COMPARABLE)
    share = ranked.score.mean / figure.value if figure.value else math.nan
    order = -share if cell.direction == "maximize" else share
    return entry(f"{share:.1%}", f"of {published_text(cell.metric, figure.value)}", order)


def _cost(ranked: RankedCell, group: Sequence[RankedCell], name: str) -> Entry:
    amount = cost(ranked.cell, name)
    if math.isnan(amount):
        return entry("–" if ranked.score.n else "no final")
    known = [math.log(max(c, 1e-9)) for one in group if math.isfinite(c := cost(one.cell, name))]
    shade = _share(math.log(max(amount, 1e-9)), known)
    text = duration(amount) if name == "seconds" else _count(amount)
    return entry(text, "", amount, shade)


def _count(amount: float) -> str:
    """Writes a number of parameters with three digits: `39.2 k`, `8.22 M`."""
    for limit, length, unit in ((1e3, 1, ""), (1e6, 1e3, " k"), (1e9, 1e6, " M")):
        if amount < limit:
            return f"{float(f'{amount / length:.3g}'):g}{unit}"
    return f"{float(f'{amount / 1e9:.3g}'):g} G"


def head(cell: Cell) -> str:
    """Writes a metric with its unit, and an arrow in the better direction."""
    percent = ", %" if is_rate(cell.metric) else ""
    return f"{one_line(cell.metric)}{percent} {'↑' if cell.direction == 'maximize' else '↓'}"
