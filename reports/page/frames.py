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

BOARD = ("variant", "dataset", "mean", "metric", "n", "mark", "behind", "p", "published", "gap")
BOARD_REST = ("seconds", "data", "progress", "notes")


def leaderboards(table: pd.DataFrame, groups: Sequence[list[Standing]]) -> Iterator[dict[str, Any]]:
    """A table a task and profile; `id` is the link to a row's runs."""
    cells = [standing.cell for group in groups for standing in group]
    seconds = [interval([r.costs.get("seconds", math.nan) for r in c.scored]).mean for c in cells]
    shown = table.rename(columns={"seeds": "n"}).assign(
        **{
            "±": (table["ci_high"] - table["ci_low"]) / 2,
            "behind ±": (table["behind_high"] - table["behind_low"]) / 2,
        },
        seconds=seconds,
        id=[f"#{anchor(cell)}" for cell in cells],
    )
    columns = [*BOARD, *BOARD_REST, "±", "behind ±", "id"]
    for (task, profile), rows in shown.groupby(["task", "profile"], sort=False):
        place = str(task), str(profile)
        yield {
            "name": group_name(*place),
            "id": stem("leaderboard", *place),
            "frame": rows[columns],
        }


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
