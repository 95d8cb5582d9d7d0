"""Chooses and orders the columns of tables for the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from reports.formats import stem, with_interval
from reports.intervals import mean
from reports.page.cell_runs import anchor, group_name
from reports.ranking import RankedCell
from reports.tables.leaderboard_table import shown_floors

BOARD = ("variant", "dataset", "mean", "95 % interval", "n", "mark", "metric")
BOARD_REST = (
    *("behind", "behind_at_most", "test_samples", "floor", "floor_name", "untrained"),
    *("published", "gap", "trials", "seconds", "data"),
)
BOARD_LAST = ("progress", "notes", "kind")


def leaderboards(
    table: pd.DataFrame, groups: Sequence[list[RankedCell]]
) -> Iterator[dict[str, Any]]:
    """Yields one table per task and profile, with the columns that a reader compares.

    Args:
        table: the leaderboard.
        groups: the rankings of each task, dataset and profile, in the leaderboard's order.

    Returns:
        Mappings of `name`, `id` (of the table in the page) and `frame`, whose column `id` is the
        link to a row's runs, empty for floors.
    """
    seconds = [second for group in groups for second in _seconds(group)]
    links = [link for group in groups for link in _links(group)]
    shown = table.assign(
        **{"95 % interval": _between(table)},
        n=table["seeds"].astype("Int64").where(table["kind"] == "variant"),
        seconds=seconds,
        id=links,
    )
    columns = [*BOARD, *BOARD_REST, *BOARD_LAST, "id"]
    for (task, profile), rows in shown.groupby(["task", "profile"], sort=False):
        place = str(task), str(profile)
        yield {
            "name": group_name(*place),
            "id": stem("leaderboard", *place),
            "frame": rows[columns],
        }


def _between(table: pd.DataFrame) -> list[str]:
    columns = [table[name] for name in ("mean", "ci_low", "ci_high", "ci_of", "by_seed")]
    return [with_interval(*row)[1] for row in zip(*columns, strict=True)]


def _seconds(group: list[RankedCell]) -> list[float]:
    """Averages the seconds of finals over seeds, for each leaderboard row; NaN for floors."""
    runs = (ranked.cell.scored for ranked in group)
    means = [mean([r.cost("seconds") for r in finals]) for finals in runs]
    return [*means, *(math.nan for _ in shown_floors(group))]


def _links(group: list[RankedCell]) -> list[str]:
    """Lists the links of the leaderboard's rows; empty for floors."""
    return [*(f"#{anchor(s.cell)}" for s in group), *("" for _ in shown_floors(group))]


def published_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the published figures with our means next to them."""
    shown = table.rename(columns={"value": "published"}).assign(
        **{
            "95 % interval": [
                with_interval(*row, "", "")[1]
                for row in zip(table["ours"], table["ci_low"], table["ci_high"], strict=True)
            ]
        }
    )
    columns = ["model", "dataset", "metric", "published", "n", "variant", "ours", "95 % interval"]
    columns += ["seeds", "gap", "selection", "differs", "source", "task", "profile", "spread"]
    return shown[columns]


def with_records(table: pd.DataFrame) -> pd.DataFrame:
    """Adds the column `record`, the link to a run's record, and puts the variant first."""
    links = [f"../runs/{run_id}/record.json" for run_id in table["run_id"]]
    return first_column(table, "variant").assign(record=links)


def first_column(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Puts a column first, where it stays visible."""
    return table[[name, *(column for column in table if column != name)]]
