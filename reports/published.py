"""Reads published figures, and says how they compare with ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmarks.records.record import DataState
from reports.results import Cell
from reports.statistics.intervals import ENOUGH_SEEDS, NORMAL, Estimate, exact_bounds, student

FULL_BUDGETS = ("paper", "published")
"""Profiles that train as long as papers do."""
SELECTIONS = ("none", "validation", "test", "unknown")


@dataclass(frozen=True, kw_only=True)
class Published:
    """Holds one published figure; `published.yaml` explains the fields."""

    model: str
    task: str
    dataset: str
    metric: str
    value: float
    selection: str
    comparable: bool
    protocol: str
    source: str
    variant: str | None = None
    spread: float = math.nan
    n: int | None = None


class GapInterval(NamedTuple):
    """Holds the 95 % interval of a gap; the ends are NaN if there is none."""

    low: float
    high: float
    of: str
    """`ours and theirs`; `ours alone`, where the source does not say how much its runs vary; empty
    without an interval."""


@cache
def published_figures() -> tuple[Published, ...]:
    """Reads all figures of `published.yaml`, in their order."""
    import yaml

    entries = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text("utf-8"))
    return tuple(Published(**entry) for entry in entries)


def beside(cell: Cell, metric: str) -> Published | None:
    """Finds the published figure of a cell's variant on its dataset by a metric."""
    key = (cell.variant, cell.dataset, cell.task, metric)
    return next(
        (p for p in published_figures() if key == (p.variant, p.dataset, p.task, p.metric)), None
    )


def gap(ours: float, cell: Cell, figure: Published) -> float:
    """Returns how much better (+) or worse (-) our mean is; NaN if the two cannot be compared.

    They can be compared if the protocol is the same, the data is no stand-in, and the profile
    trains as long as the paper.
    """
    stands_in = DataState.stand_in in cell.states
    if not figure.comparable or stands_in or cell.profile not in FULL_BUDGETS:
        return math.nan
    better = ours - figure.value
    return better if cell.ledger.directions.get(figure.metric) == "maximize" else -better


def gap_interval(ours: Estimate, tested: int, cell: Cell, figure: Published) -> GapInterval:
    """Returns the 95 % interval of a gap.

    It adds the squares of the widths of our interval and of theirs. Theirs is known where the
    source has a standard deviation over three runs or more. Otherwise the interval is ours, less
    the published figure.

    Args:
        ours: our mean with its interval.
        tested: the number of test samples if the metric is a rate; else 0. Theirs are as many,
            since only figures of the same protocol have a gap.
        cell: the cell of our mean.
        figure: the published figure.
    """
    middle = gap(ours.mean, cell, figure)
    if math.isnan(middle) or math.isnan(ours.low):
        return GapInterval(math.nan, math.nan, "")
    below, above, of = ours.mean - ours.low, ours.high - ours.mean, "ours alone"
    if (figure.n or 0) >= ENOUGH_SEEDS and math.isfinite(figure.spread):
        down, up = _their_reaches(figure, tested)
        below, above, of = math.hypot(below, up), math.hypot(above, down), "ours and theirs"
    if cell.ledger.directions.get(figure.metric) != "maximize":
        below, above = above, below
    return GapInterval(middle - below, middle + above, of)


def _their_reaches(figure: Published, tested: int) -> tuple[float, float]:
    """Returns how far the interval of a published figure reaches below and above it."""
    assert figure.n is not None
    runs = student(figure.n - 1) * figure.spread / math.sqrt(figure.n)
    if not tested:
        return runs, runs
    low, high = exact_bounds(figure.value, tested, NORMAL)
    return math.hypot(runs, figure.value - low), math.hypot(runs, high - figure.value)


def _spent(cell: Cell) -> str:
    """Says what a cell's finals spent, by the first of them."""
    text = f"profile {cell.profile}"
    for run in cell.scored[:1]:
        epochs = f"{run.epochs:,} epoch{'' if run.epochs == 1 else 's'}"
        text += f", {epochs} of {run.samples.train:,} samples" if run.samples else f", {epochs}"
    return text


def differences(cell: Cell, figure: Published) -> list[str]:
    """Lists the differences between the published protocol and ours, one phrase each."""
    found = [figure.protocol]
    if figure.selection == "test":
        found.append("chosen on test data, ours never is")
    if figure.selection == "unknown":
        found.append("how the epoch was chosen is not known")
    if figure.n is None or figure.n == 1:
        found.append("one run" if figure.n else "number of runs not known")
    if cell.profile != "paper":
        found.append(f"ours: {_spent(cell)}")
    if DataState.stand_in in cell.states:
        found.append("our data is a stand-in: not comparable")
    elif DataState.partial in cell.states:
        found.append("our data is partial")
    if DataState.generated in cell.states:
        found.append("our test data is generated here, theirs is another set")
    if not figure.comparable:
        found.append("not comparable")
    return found
