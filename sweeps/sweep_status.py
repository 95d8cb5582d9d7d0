"""Prints `capsbench list` and `capsbench status`, from file names and ledgers. Imports are fast."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from benchmarks import datasets
from benchmarks.commands.cli import duration
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder
from models import registry
from sweeps.estimates.stored_estimate import read_estimate

_WATCH_SECONDS = 2.0
_PACE = 20
"""Without a driver's estimate, the time left is estimated from this number of the last runs."""


def show_matrix() -> None:
    """Prints a table of variants and datasets, then one line of description per variant.

    A field of the table is the form in which the variant sees the dataset.
    """
    matrix = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    words = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    columns = (*datasets.names(), *datasets.own_names())
    for heading in ("task", "variant", *columns):
        matrix.add_column(heading, no_wrap=True)
    words.add_column(no_wrap=True)
    for entry in registry.available().values():
        forms = (_form(entry.task, dataset) for dataset in columns)
        matrix.add_row(entry.task, entry.name, *forms)
        words.add_row(entry.name, entry.summary)
    console = Console()
    # In a pipe, each row shall be one line.
    (console if console.is_terminal else Console(width=240)).print(matrix)
    console.print()
    console.print(words)


def _form(task: str, dataset: str) -> str:
    """Returns the form in which a task sees a dataset; `–` if the dataset does not serve it."""
    return datasets.find(dataset).forms.get(task, "–")


def show_status(results: Path) -> None:
    """Prints the finished and planned trials and finals, one row per cell.

    Args:
        results: the results folder.

    Raises:
        InputError: if the folder has no sweep, or a ledger cannot be read.
    """
    table, _ = _status(results)
    Console().print(table)


def watch_status(results: Path) -> None:
    """Shows the same table as `show_status`, and updates it until the sweep is done or Ctrl-C.

    Args:
        results: the results folder.

    Raises:
        InputError: if the folder has no sweep, or a ledger cannot be read.
    """
    table, done = _status(results)
    with Live(table, console=Console()) as live:
        while not done:
            try:
                time.sleep(_WATCH_SECONDS)
            except KeyboardInterrupt:
                return
            table, done = _status(results)
            live.update(table)


def _status(results: Path) -> tuple[RenderableType, bool]:
    """Makes the table of a sweep's cells; also returns whether all cells are done."""
    folder = ResultsFolder(results)
    ledgers = folder.ledgers()
    if not ledgers:
        raise InputError(
            f"{results} has no sweep: begin one with `capsbench sweep`, or name its folder with "
            "--results"
        )
    running = list(folder.unfinished_runs())
    columns: dict[str, list[str]] = {}
    finished = remaining = saved = 0
    for cell in ledgers:
        finished += cell.done
        saved += cell.epochs.saved
        remaining += cell.left
        own = [r for r in running if r.startswith(f"{cell.variant}-{cell.dataset}-")]
        planned, states = cell.planned, cell.states
        row = {
            "study": cell.study,
            "data": cell.data,
            "trials": f"{states.finished}/{planned.trials}" if planned.trials else "none",
            "pruned": str(states.pruned or ""),
            "failed": str(states.fail or ""),
            "retries": str(cell.retries or ""),
            "finals": f"{len(cell.finals)}/{planned.finals}",
            "under way": str(len(own) or ""),
            "saved": f"{cell.epochs.saved} epochs" if cell.epochs.saved else "",
            "": "done" if cell.done else "",
        }
        if cell.reason:
            row[""] = f"[red]{escape(cell.reason)}[/]"
        for heading, text in row.items():
            columns.setdefault(heading, []).append(text)
    summary = f"{finished} of {len(ledgers)} cells done in {escape(str(results))}"
    if saved:
        summary += f"; pruning saved {saved} epochs"
    if remaining:
        summary += f"; {remaining} run{'s' * (remaining > 1)} and {_left(results, remaining)} left"
    return Group(_table(columns), summary), finished == len(ledgers)


def _table(columns: dict[str, list[str]]) -> Table:
    """Makes a table without empty columns, because terminals are narrow."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    filled = {heading: column for heading, column in columns.items() if any(column)}
    for heading in filled:
        table.add_column(heading, no_wrap=heading == "study")
    for row in zip(*filled.values(), strict=True):
        table.add_row(*row)
    return table


def _left(results: Path, remaining: int) -> str:
    """Says how much time is left: as the running driver estimates, or by the last runs' pace."""
    seconds = read_estimate(results)
    if seconds is not None:
        return f"about {duration(seconds)}"
    records = (run.record for run in ResultsFolder(results).run_folders())
    ended = sorted(record.stat().st_mtime for record in records if record.exists())[-_PACE:]
    if len(ended) < 2:
        return "unknown time"
    return f"about {duration(remaining * (ended[-1] - ended[0]) / (len(ended) - 1))}"
