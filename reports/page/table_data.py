"""Turns tables into the JSON of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd

from reports.formats import with_interval
from reports.page.page_format import TableData, Value
from reports.page.views import cost
from reports.ranking import RankedCell
from reports.tables.leaderboard_table import shown_floors

BOARD = (
    *("variant", "dataset", "mean", "95 % interval", "seeds", "mark", "task", "metric"),
    *("behind", "behind_at_most", "test_samples", "floor", "floor_name", "untrained"),
    *("published", "gap", "trials", "seconds", "data", "profile", "progress", "notes"),
)
PUBLISHED = (
    *("model", "dataset", "metric", "value", "spread", "n", "variant", "ours", "95 % interval"),
    *("seeds", "gap", "selection", "differs", "source", "task", "profile"),
)


def table_data(
    tables: Mapping[str, pd.DataFrame], groups: Sequence[list[RankedCell]]
) -> dict[str, TableData]:
    """Turns the tables that the page shows into JSON, each with its links.

    Args:
        tables: all tables by name.
        groups: the rankings of each task, dataset and profile, in the leaderboard's order.
    """
    board = tables["leaderboard"].assign(
        **{"95 % interval": _between(tables["leaderboard"], "mean")}, seconds=_seconds(groups)
    )
    published = tables["published"]
    published = published.assign(**{"95 % interval": _between(published, "ours")})
    found = {
        "leaderboard": _table(board[[*BOARD]], {"variant": _drawers(groups)}),
        "published": _table(published[[*PUBLISHED]]),
        **{name: _table(_first(tables[name], "variant")) for name in ("ranks", "costs")},
        "floors": _table(_first(tables["floors"], "floor")),
        **{name: _table(tables[name]) for name in ("importance", "data", "provenance")},
    }
    for name in ("failures", "pareto"):
        links = [f"../runs/{run}/record.json" if run else "" for run in tables[name]["run_id"]]
        found[name] = _table(_first(tables[name], "variant"), {"run_id": links})
    return found


def drawer_address(study: str) -> str:
    """Returns the address of a cell's drawer in the page."""
    return f"#cell={quote(study, safe='')}"


def _table(table: pd.DataFrame, links: Mapping[str, list[str]] | None = None) -> TableData:
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


def _between(table: pd.DataFrame, mean: str) -> list[str]:
    """Writes the interval of each row, or its seeds where there is none."""
    nothing = [""] * len(table)
    columns = [table[name].tolist() for name in (mean, "ci_low", "ci_high")]
    texts = [table[name].tolist() if name in table else nothing for name in ("ci_of", "by_seed")]
    return [with_interval(*row)[1] for row in zip(*columns, *texts, strict=True)]


def _seconds(groups: Sequence[list[RankedCell]]) -> list[float]:
    """Averages the seconds of finals for each row of the leaderboard; NaN for floors."""
    return [
        second
        for group in groups
        for second in (
            *(cost(ranked.cell, "seconds") for ranked in group),
            *(math.nan for _ in shown_floors(group)),
        )
    ]


def _drawers(groups: Sequence[list[RankedCell]]) -> list[str]:
    """Lists the addresses of drawers for each row of the leaderboard; empty for floors."""
    return [
        address
        for group in groups
        for address in (
            *(drawer_address(ranked.cell.study) for ranked in group),
            *("" for _ in shown_floors(group)),
        )
    ]
