"""The leaderboard in the terminal."""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.formats import plus_minus
from reports.records import Results
from reports.tables import failures, leaderboard

NOTE = """\
mean: over n finals with fresh seeds, on test data; bold: best of its dataset
±: half of the mean's 95 % Student-t interval; data: its state\
"""


def show(results: Results, console: Console) -> None:
    """Prints a table a task and profile, its datasets apart, the best of each in bold."""
    groups = leaderboard(results).groupby(["task", "profile", "metric", "direction"])
    for (task, profile, metric, direction), rows in groups:
        better = "higher" if direction == "maximize" else "lower"
        title = Text(f"{task}: {metric}, {better} is better (profile {profile})", style="italic")
        console.print(title, _table(rows), sep="\n")
    console.print(NOTE, highlight=False)
    if failed := len(failures(results)):
        console.print(f"{failed} failure{'s' if failed > 1 else ''}: see tables/failures.md")


def _table(rows: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("dataset", overflow="fold")
    table.add_column("variant", overflow="fold")
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("±", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("data", overflow="fold")
    for dataset, group in rows.groupby("dataset"):
        _add(table, dataset, group)
        table.add_section()
    return table


def _add(table: Table, dataset: Hashable, group: pd.DataFrame) -> None:
    best = group["mean"].iloc[0]
    for place, row in enumerate(group.to_dict("records")):
        mean, half = plus_minus(row["mean"], (row["ci_high"] - row["ci_low"]) / 2)
        name = str(dataset) if place == 0 else ""
        cells = (name, row["variant"], mean or "no final", half, str(row["seeds"]), row["data"])
        # Text, not str: what a record says is never taken for markup.
        table.add_row(*map(Text, cells), style="bold" if row["mean"] == best else None)
