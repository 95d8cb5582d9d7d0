"""Published figures beside ours, and what stands between the two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.records.record import DataState
from reports.records import Cell

FULL_BUDGETS = ("paper", "published")
"""Profiles that train as long as papers do."""
SELECTIONS = ("none", "validation", "test", "unknown")


@dataclass(frozen=True, kw_only=True)
class Published:
    """One figure, as `published.yaml` has it; that file explains the fields."""

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


@cache
def published() -> tuple[Published, ...]:
    """All figures, in the order of the file."""
    import yaml

    entries = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text("utf-8"))
    return tuple(Published(**entry) for entry in entries)


def beside(cell: Cell, metric: str) -> Published | None:
    """The figure to hold against a cell's: its variant's, on its dataset, by the same metric."""
    key = (cell.variant, cell.dataset, cell.task, metric)
    return next((p for p in published() if key == (p.variant, p.dataset, p.task, p.metric)), None)


def gap(ours: float, cell: Cell, figure: Published) -> float:
    """How much better (+) or worse (-) ours is; NaN where the two can't be compared.

    They can be where the protocol is the same, the data is no stand-in, and the profile spends what
    the paper spent.
    """
    stands_in = DataState.stand_in in cell.states
    if not figure.comparable or stands_in or cell.profile not in FULL_BUDGETS:
        return math.nan
    better = ours - figure.value
    return better if cell.ledger.directions.get(figure.metric) == "maximize" else -better


def differences(cell: Cell, figure: Published) -> list[str]:
    """In what the published figure's protocol differs from ours, a phrase each."""
    told = [figure.protocol]
    if figure.selection == "test":
        told.append("chosen on test data, ours never is")
    if figure.selection == "unknown":
        told.append("how the epoch was chosen is not told")
    if figure.n is None or figure.n == 1:
        told.append("one run" if figure.n else "number of runs not told")
    if cell.profile != "paper":
        told.append(f"ours spent profile {cell.profile}: less training, maybe smaller models")
    if DataState.stand_in in cell.states:
        told.append("our data is a stand-in: not comparable")
    elif DataState.partial in cell.states:
        told.append("our data is partial")
    if DataState.generated in cell.states:
        told.append("our test data is generated here, theirs is another set")
    if not figure.comparable:
        told.append("not comparable")
    return told
