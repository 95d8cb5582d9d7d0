"""Prints tables on a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from benchmarks.records.errors import InputError
from reports import compare
from reports.flags import flags
from reports.formats import frame, readable, with_interval
from reports.results import Results
from reports.statistics.ranking import BELOW
from reports.tables import TABLES
from reports.tables.floor_tables import count_sentences
from reports.tables.leaderboard_table import leaderboard
from reports.tables.run_lists import failures

NOTE = """\
mean: of finals with fresh seeds, on test data
95 %: of 100 such intervals, at least 95 include what very many seeds and test
samples would give
best: all others are worse; may be best: the scores do not rule it out
worse: than another, by more than chance explains; too few seeds: fewer than 3
floor: the best of trivial answers and of the same network untrained
†: the mean is not better than each floor, or its interval includes one\
"""


MOST_ROWS = 40
"""Rows, or lines, of a table on a terminal. A file or a pipe gets all."""
SPLITS = ("validation", "test")
SINGLE = {"run": "str", "metric": "str", **dict.fromkeys(SPLITS, "float64"), "status": "str"}
"""Columns of the table of single runs, and their types."""
KEEP = ("variant", "dataset")
"""Columns that keep 20 characters on a line, since they name the row."""


def show(results: Results, console: Console) -> None:
    """Prints one table per task and profile, by dataset; the best of each dataset is bold.

    Then prints how many cells are above their floors, the single runs, and warnings on all tables.
    """
    groups = leaderboard(results).groupby(["task", "profile"], sort=False)
    for (task, profile), rows in groups:
        title = Text(f"{task} (profile {profile})", style="italic")
        console.print(title, _table(rows), sep="\n")
    if results.cells:
        console.print(NOTE, highlight=False)
    for sentence in count_sentences(results):
        console.print(Text(sentence))
    if results.single:
        _print_single_runs(results, console)
    for sentence in flags(results):
        console.print(Text(f"! {sentence}"))
    if failed := len(failures(results)):
        again = f"`capsbench show --results {results.root} --table failures`"
        sentence = f"{failed} failure{'s' if failed > 1 else ''}: see {again}"
        console.print(Text(sentence), soft_wrap=True)


def _print_single_runs(results: Results, console: Console) -> None:
    """Prints one row per run of `capsbench run`: its scores by the primary metric, and a status
    other than `complete`."""
    runs = results.single[:MOST_ROWS] if console.is_terminal else results.single
    rows = (
        (
            *(run.run_id, run.metric),
            *(run.metrics.get(f"{split}/{run.metric}", math.nan) for split in SPLITS),
            "" if run.complete else run.status,
        )
        for run in runs
    )
    table = frame(SINGLE, rows)
    if not any(table["status"]):
        table = table.drop(columns="status")
    console.print(Text("single runs", style="italic"), _plain(table), sep="\n")
    if left := len(results.single) - len(runs):
        console.print(Text(_more(results, "runs", left)), soft_wrap=True)


def show_tables(results: Results, names: Sequence[str], console: Console) -> None:
    """Prints tables by name, with all columns. Raises InputError if a name is unknown."""
    for name in names:
        if name not in TABLES:
            raise InputError(f"there is no table '{name}': choose one of {', '.join(TABLES)}")
    for name in names:
        frame = TABLES[name](results)
        shown = frame.head(MOST_ROWS) if console.is_terminal else frame
        table = _plain(shown)
        if Measurement.get(console, console.options, table).minimum > console.width / 2:
            if console.is_terminal:
                shown = frame.head(max(1, MOST_ROWS // (len(frame.columns) + 1)))
            table = _records(shown)
        console.print(Text(name, style="italic"), table, sep="\n")
        if left := len(frame) - len(shown):
            console.print(Text(_more(results, name, left)), soft_wrap=True)


def _more(results: Results, name: str, left: int) -> str:
    """Says how many rows of a table are not shown, and where all are."""
    path = results.root / "report" / "tables" / f"{name}.csv"
    rows = f"{left:,} more row{'s' if left > 1 else ''}"
    if path.is_file():
        return f"… {rows}: all are in {path}"
    return f"… {rows}: `capsbench report --results {results.root}` writes all to {path}"


def show_comparison(table: pd.DataFrame, console: Console) -> None:
    """Prints what `compare` found: one table per task and profile, one row per cell."""
    for (task, profile), rows in table.groupby(["task", "profile"], sort=False):
        differences = map(_difference, rows["better"], rows["low"], rows["high"])
        changed = rows["changed"].map(lambda names: f"\n(other {names})" if names else "")
        shown = pd.DataFrame(
            {
                "variant": rows["variant"],
                "dataset": rows["dataset"],
                "A": rows["a"],
                "B": rows["b"],
                "better": [*differences],
                "n": rows["pairs"],
                "verdict": rows["verdict"] + changed,
            }
        )
        title = Text(f"{task} (profile {profile})", style="italic")
        console.print(title, _plain(shown), sep="\n")
    console.print(compare.NOTE, highlight=False)


def _difference(better: float, low: float, high: float) -> str:
    """Writes a difference, and on a line below it the ends of its interval if there is one."""
    return "\n".join(filter(None, with_interval(better, low, high, "", "")))


def show_runs(table: pd.DataFrame, console: Console) -> None:
    """Prints what `compare_runs` found: one row per value, and a letter in place of each run id."""
    letters = {run_id: _letter(place) for place, run_id in enumerate(table.columns[2:])}
    for run_id, letter in letters.items():
        console.print(f"{letter}  {run_id}", highlight=False)
    for kind, rows in table.groupby("kind", sort=False):
        shown = rows.drop(columns="kind").rename(columns={"name": kind, **letters})
        console.print(_plain(shown))


def _letter(place: int) -> str:
    """Returns A to Z, then the number."""
    return chr(ord("A") + place) if place < 26 else str(place + 1)


def _plain(frame: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in frame:
        figures = frame[name].dtype != "str"
        table.add_column(
            str(name).replace("_", " "),
            justify="right" if figures else "left",
            no_wrap=figures,
            overflow="fold",
            min_width=min(20, max(map(len, frame[name]), default=0)) if name in KEEP else None,
        )
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_shown(value)) for value in row))
    return table


def _records(frame: pd.DataFrame) -> Table:
    """Writes one line per value, for tables wider than the terminal."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in frame.to_dict("records"):
        for name, value in row.items():
            if text := _shown(value):
                table.add_row(Text(str(name)), Text(text))
        table.add_row("", "")
    return table


def _shown(value: object) -> str:
    if value is pd.NA:
        return ""
    return readable(value) if isinstance(value, float) else str(value)


def _table(rows: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    datasets = [(str(name), group) for name, group in rows.groupby("dataset", sort=False)]
    heads = max(len(head) for name, group in datasets for head in _heads(name, group))
    # A fixed width: with `min_width`, Rich 15 makes the table too wide and cuts words off.
    table.add_column("dataset", overflow="fold", width=min(heads, 13))
    table.add_column("variant", overflow="fold", width=min(max(map(len, rows["variant"])), 20))
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("95 %", overflow="fold", width=13)
    table.add_column("floor", justify="right", no_wrap=True)
    table.add_column("mark", overflow="fold")
    for dataset, group in datasets:
        _add(table, dataset, group)
        table.add_section()
    return table


def _add(table: Table, dataset: str, group: pd.DataFrame) -> None:
    heads = _heads(dataset, group)
    for place, row in enumerate(group.to_dict("records")):
        score = (row[name] for name in ("mean", "ci_low", "ci_high", "ci_of", "by_seed"))
        mean, between = with_interval(*score)
        # What is equal in all rows stands below the dataset's name, one item per row.
        last = place == len(group) - 1
        name = "\n".join(heads[place:] if last else heads[place : place + 1])
        of_variant, below = row["kind"] == "variant", row["mark"] in BELOW
        shown = f"{'† ' if below else ''}{mean}" if mean else "no final"
        notes = ["" if below else row["mark"]]
        notes += [row["progress"] if row["progress"] not in ("done", "failed") else ""]
        notes += [text for text in (_seeds(row["seeds"]), row["data"]) if text not in heads]
        cells = (
            *(name, row["variant"], shown, between.replace(" to ", "–")),
            *(readable(row["floor"]), ", ".join(filter(None, notes)) if of_variant else ""),
        )
        style = "bold" if row["mark"] == "best" else None if of_variant else "dim"
        # Text, not str: Rich takes no text of a record for markup.
        table.add_row(*map(Text, cells), style=style)


def _heads(dataset: str, group: pd.DataFrame) -> list[str]:
    """Lists the dataset, its metric with the better direction, and what all of its variants have in
    common: the number of seeds, the size of the test set and the state of the data."""
    first, variants = group.iloc[0], group[group["kind"] == "variant"]
    arrow = "↑" if first["direction"] == "maximize" else "↓"
    sizes = [f"{size:,} test" for size in group["test_samples"].dropna().unique()]
    common = ([*map(_seeds, variants["seeds"].unique())], sizes, [*variants["data"].unique()])
    return [dataset, f"{first['metric']} {arrow}", *(c[0] for c in common if len(c) == 1 and c[0])]


def _seeds(n: int) -> str:
    return f"{n} seed{'s' if n > 1 else ''}" if n else ""
