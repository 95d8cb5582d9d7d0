"""Tables as the page has them: the columns that a reader compares, spreads beside their values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from reports.formats import stem
from reports.page.runs import anchor, group_name
from reports.standings import Standing
from reports.statistics import interval
from reports.tables import shown_floors

BOARD = ("variant", "dataset", "mean", "metric", "n", "mark", "floor", "floor_name", "untrained")
BOARD_REST = ("behind", "p", "published", "gap", "trials", "test_samples", "seconds", "data")
BOARD_LAST = ("progress", "notes", "kind")


def leaderboards(table: pd.DataFrame, groups: Sequence[list[Standing]]) -> Iterator[dict[str, Any]]:
    """Yields one table per task and profile, with the columns that a reader compares.

    Args:
        table: the leaderboard.
        groups: the standings of each task, dataset and profile, in the leaderboard's order.

    Returns:
        Mappings of `name`, `id` (of the table in the page) and `frame`, whose column `id` is the
        link to a row's runs, empty for floors.
    """
    seconds = [second for group in groups for second in _seconds(group)]
    links = [link for group in groups for link in _links(group)]
    shown = table.assign(
        **{
            "±": (table["ci_high"] - table["ci_low"]) / 2,
            "behind ±": (table["behind_high"] - table["behind_low"]) / 2,
        },
        n=table["seeds"].astype("Int64").where(table["kind"] == "variant"),
        seconds=seconds,
        id=links,
    )
    columns = [*BOARD, *BOARD_REST, *BOARD_LAST, "±", "behind ±", "id"]
    for (task, profile), rows in shown.groupby(["task", "profile"], sort=False):
        place = str(task), str(profile)
        yield {
            "name": group_name(*place),
            "id": stem("leaderboard", *place),
            "frame": rows[columns],
        }


def _seconds(group: list[Standing]) -> list[float]:
    """Averages the seconds of finals over seeds, for each leaderboard row; NaN for floors."""
    runs = (standing.cell.scored for standing in group)
    means = [interval([r.cost("seconds") for r in finals]).mean for finals in runs]
    return [*means, *(math.nan for _ in shown_floors(group))]


def _links(group: list[Standing]) -> list[str]:
    """Lists the links of the leaderboard's rows; empty for floors."""
    return [*(f"#{anchor(s.cell)}" for s in group), *("" for _ in shown_floors(group))]


def published(table: pd.DataFrame) -> pd.DataFrame:
    """The published figures, ours close beside them."""
    shown = table.rename(columns={"value": "published"}).assign(
        **{"±": (table["ci_high"] - table["ci_low"]) / 2}
    )
    columns = ["model", "dataset", "metric", "published", "n", "variant", "ours", "seeds", "gap"]
    columns += ["selection", "differs", "source", "task", "profile", "spread", "±"]
    return shown[columns]


def with_records(table: pd.DataFrame) -> pd.DataFrame:
    """The table, the variant first; `record` is the link to a run's record."""
    links = [f"../runs/{run_id}/record.json" for run_id in table["run_id"]]
    return first_column(table, "variant").assign(record=links)


def first_column(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with this column first, where it stays in sight."""
    return table[[name, *(column for column in table if column != name)]]
