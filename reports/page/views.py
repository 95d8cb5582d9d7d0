"""Builds what the matrix shows of a cell: score, distance to the best, published, costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.records.record import DataState, SampleCounts
from reports.formats import one_line
from reports.page.page_format import Entry
from reports.published import Published, beside, gap
from reports.results import Cell
from reports.score_texts import (
    difference_text,
    difference_words,
    duration_text,
    is_rate,
    published_text,
    score_text,
    score_texts,
)
from reports.statistics.intervals import mean
from reports.statistics.ranking import BELOW, RankedCell

VIEWS = {
    "score": "score",
    "behind": "behind the best",
    "published": "published",
    "seconds": "seconds",
    "parameters": "parameters",
}
"""Names of the views, with the words for them."""
COSTS = ("seconds", "parameters")
"""Views that show a cost."""
NOT_COMPARABLE = "not comparable"
COPIES = {
    DataState.unofficial: "unofficial copy",
    DataState.partial: "partial copy",
    DataState.stand_in: "stand-in",
}
"""Data states that a reader of a score must know, in words."""


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


def percent(text: str, metric: str) -> str:
    """Adds the sign of percent to the text of a rate."""
    return f"{text} %" if text and is_rate(metric) else text


def better_word(cell: Cell) -> str:
    """Says which way the primary metric is better."""
    return "above" if cell.direction == "maximize" else "below"


def mark_text(ranked: RankedCell) -> str:
    """Writes a cell's mark; of one that is not above its floors, the best floor: `not above 87.2
    untrained`."""
    if ranked.mark not in BELOW:
        return ranked.mark
    name, value = ranked.floor
    if math.isnan(value):
        return "not above floors"
    floor = score_text(ranked.cell.metric, value).removesuffix(" %")
    return f"not {better_word(ranked.cell)} {floor} {one_line(name)}"


def gap_words(ranked: RankedCell, figure: Published) -> str:
    """Says how much more or less our mean is than a published figure."""
    metric, difference = ranked.cell.metric, ranked.score.mean - figure.value
    return f"{difference_words(metric, abs(difference))} {'less' if difference < 0 else 'more'}"


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
    text = difference_text(metric, abs(ranked.behind))
    text = f"{text} ahead" if ranked.behind < 0 else text
    return entry(text, small, _order(ranked), _shade(ranked, group))


def _published(ranked: RankedCell) -> Entry:
    """Shows our mean and the published figure, their difference, and if they can't be compared."""
    cell = ranked.cell
    figure = beside(cell, cell.metric)
    if figure is None or not ranked.score.n:
        return entry("–" if figure is None else "no final")
    ours = score_text(cell.metric, ranked.score.mean).removesuffix(" %")
    distance = gap(ranked.score.mean, cell, figure)
    words = [gap_words(ranked, figure), NOT_COMPARABLE if math.isnan(distance) else ""]
    text = f"{ours} of {published_text(cell.metric, figure.value)}"
    return entry(text, ", ".join(filter(None, words)), -distance)


def _cost(ranked: RankedCell, group: Sequence[RankedCell], name: str) -> Entry:
    amount = cost(ranked.cell, name)
    if math.isnan(amount):
        return entry("unknown" if ranked.score.n else "no final")
    # What costs nothing would leave no shade to the others.
    known = [math.log(c) for one in group if (c := cost(one.cell, name)) > 0]
    shade = _share(math.log(amount), known) if amount > 0 else math.nan
    text = duration_text(amount) if name == "seconds" else _count(amount)
    return entry(text, "", amount, shade)


def _count(amount: float) -> str:
    """Writes a number of parameters with three digits: `39.2 k`, `8.22 M`."""
    for limit, length, unit in ((1e3, 1, ""), (1e6, 1e3, " k"), (1e9, 1e6, " M")):
        if amount < limit:
            return f"{float(f'{amount / length:.3g}'):g}{unit}"
    return f"{float(f'{amount / 1e9:.3g}'):g} G"


def heads(cell: Cell) -> dict[str, str]:
    """Writes for each view what its numbers are, with an arrow in the better direction."""
    unit = metric_name(cell.metric)
    score = f"{unit} {'↑' if cell.direction == 'maximize' else '↓'}"
    behind = "points behind ↓" if is_rate(cell.metric) else f"{unit} behind ↓"
    costs = {"seconds": "time of a run ↓", "parameters": "parameters ↓"}
    return {"score": score, "behind": behind, "published": score, **costs}


def metric_name(metric: str) -> str:
    """Writes a metric's name, with its unit if it is a rate."""
    return f"{one_line(metric)}, %" if is_rate(metric) else one_line(metric)


def samples_words(cells: Sequence[Cell]) -> tuple[str, str]:
    """Says how many test samples scored the finals of these cells, and what data that is.

    Returns:
        The number of test samples, such as `2,000 of 2,007`; and words such as `unofficial copy`,
        empty where the data is the published data.
    """
    runs = [run for cell in cells for run in cell.scored]
    sizes = dict.fromkeys(_size(run.samples) for run in runs if run.samples)
    text = " or ".join(sizes) or "unknown number of"
    states = {state for cell in cells for state in cell.states}
    copies = [words for state, words in COPIES.items() if state in states]
    made = "generated" if DataState.generated in states else ""
    return text, " from ".join(filter(None, (made, ", ".join(copies))))


def _size(samples: SampleCounts) -> str:
    of = f" of {samples.test_of:,}" if samples.test_of > samples.test else ""
    return f"{samples.test:,}{of}"
