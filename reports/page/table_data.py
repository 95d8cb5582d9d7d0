"""Turns tables into the JSON of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import pandas as pd

from benchmarks.records.folders import RECORD
from reports.formats import with_interval
from reports.page.page_format import TableData, Value
from reports.page.run_rows import run_rows
from reports.page.views import cost, interval_text, mark_text, metric_name
from reports.results import Results
from reports.score_texts import factor
from reports.statistics.ranking import RankedCell
from reports.tables.cell_costs import training
from reports.tables.leaderboard_table import shown_floors

T = TypeVar("T")

BOARD = (
    *("variant", "dataset", "mean", "95 % interval", "seeds", "mark", "metric", "behind"),
    *("behind_at_most", "floor", "floor_name", "untrained", "published", "gap", "test_samples"),
    *("train_samples", "epochs", "trials", "seconds", "task", "data", "profile", "progress"),
    "notes",
)
PUBLISHED = (
    *("model", "dataset", "metric", "value", "spread", "n", "variant", "ours", "95 % interval"),
    *("seeds", "gap", "selection", "differs", "source", "task", "profile"),
)
SCORES = (
    *("mean", "behind", "behind_at_most", "floor", "untrained", "published", "gap"),
    *("value", "spread", "ours", "ci_low", "ci_high", "score"),
)
"""Columns that the page shows in percent where the row's metric is a rate."""
SAME = ("profile", "progress", "notes", "task")
"""Columns that the page leaves out where all rows say the same."""


def table_data(
    results: Results, tables: Mapping[str, pd.DataFrame], groups: Sequence[list[RankedCell]]
) -> dict[str, TableData]:
    """Turns the tables that the page shows into JSON, each with its links.

    Args:
        results: the results.
        tables: all tables by name.
        groups: the rankings of each task, dataset and profile, in the leaderboard's order.
    """
    board = tables["leaderboard"].assign(
        **{"95 % interval": _by_row(groups, lambda ranked: interval_text(ranked)[1], "")},
        mark=_by_row(groups, mark_text, ""),
        train_samples=pd.array(_by_row(groups, _train_samples, None), "Int64"),
        epochs=pd.array(_by_row(groups, _epochs, None), "Int64"),
        seconds=_by_row(groups, lambda ranked: cost(ranked.cell, "seconds"), math.nan),
    )
    drawers = _by_row(groups, lambda ranked: drawer_address(ranked.cell.study), "")
    published = _percent(tables["published"])
    published = published.assign(**{"95 % interval": _between(published)})
    found = {
        "leaderboard": _table(_percent(board)[[*BOARD]], {"variant": drawers}),
        "published": _table(published[[*PUBLISHED]]),
        **{name: _table(_first(tables[name], "variant")) for name in ("ranks", "costs")},
        "floors": _table(_first(_percent(tables["floors"]), "floor")),
        **{name: _table(tables[name]) for name in ("importance", "data", "provenance")},
        "runs": _runs(run_rows(results)),
    }
    for name in ("failures", "pareto"):
        found[name] = _runs(_first(_percent(tables[name]), "variant"))
    return found


def drawer_address(study: str) -> str:
    """Returns the address of a cell's drawer in the page."""
    return f"#cell={quote(study, safe='')}"


def _runs(table: pd.DataFrame) -> TableData:
    """Turns a table with run ids into JSON, with links to the records."""
    links = [f"../runs/{run}/{RECORD}" if run else "" for run in table["run_id"]]
    return _table(table, {"run_id": links})


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    """Multiplies the scores of rates by 100, and adds the unit to the metric's name."""
    if "metric" not in table:
        return table
    factors = table["metric"].map(factor).astype("int64")
    scaled = {name: table[name] * factors for name in SCORES if name in table}
    return table.assign(**scaled, metric=table["metric"].map(metric_name).astype("str"))


def _table(table: pd.DataFrame, links: Mapping[str, list[str]] | None = None) -> TableData:
    same = [name for name in SAME if name in table and table[name].nunique(dropna=False) == 1]
    table = table.drop(columns=same)
    columns = [[_value(value) for value in table[name].tolist()] for name in table]
    return TableData(
        columns=[str(name) for name in table],
        numeric=[pd.api.types.is_numeric_dtype(table[name]) for name in table],
        rows=[list(row) for row in zip(*columns, strict=True)],
        links=dict(links or {}),
    )


def _value(value: Any) -> Value:
    """Returns a value for JSON; a number has six significant digits."""
    if value is pd.NA or value is None:
        return None
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else str(value)


def _first(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Puts a column first, where it stays visible."""
    return table[[name, *(column for column in table if column != name)]]


def _between(published: pd.DataFrame) -> list[str]:
    """Writes the interval of each of our means; empty where there is none."""
    columns = [published[name].tolist() for name in ("ours", "ci_low", "ci_high")]
    return [
        with_interval(mean, low, high, "", "")[1] for mean, low, high in zip(*columns, strict=True)
    ]


def _by_row(
    groups: Sequence[list[RankedCell]], of_variant: Callable[[RankedCell], T], of_floor: T
) -> list[T]:
    """Lists a value for each row of the leaderboard, whose floors follow the variants."""
    return [
        value
        for group in groups
        for value in (*map(of_variant, group), *(of_floor for _ in shown_floors(group)))
    ]


def _epochs(ranked: RankedCell) -> int | None:
    return training(ranked.cell)[0]


def _train_samples(ranked: RankedCell) -> int | None:
    return training(ranked.cell)[1]
