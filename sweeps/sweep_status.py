"""What `list` and `status` print: from file names and ledgers, without slow imports."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from benchmarks import datasets
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder
from models import registry

_WATCH_SECONDS = 2.0
_PACE = 20
"""So many of the last runs tell how long the next ones take."""


def show_matrix() -> None:
    """Prints every variant with its task and what it sees of each dataset, then what it is."""
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
    # In a pipe a row is a line.
    (console if console.is_terminal else Console(width=240)).print(matrix)
    console.print()
    console.print(words)


def _form(task: str, dataset: str) -> str:
    """Says in a word what a task sees of a dataset; `–` if the dataset does not serve the task."""
    return datasets.find(dataset).forms.get(task, "–")


def show_status(results: Path) -> None:
    """Prints each cell's trials and finals, done and planned. Raises InputError."""
    table, _ = _status(results)
    Console().print(table)


def watch_status(results: Path) -> None:
    """Shows the same, and goes on doing so until all is done or Ctrl-C. Raises InputError."""
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
    """What there is to show, and whether nothing remains."""
    folder = ResultsFolder(results)
    ledgers = folder.ledgers()
    if not ledgers:
        raise InputError(
            f"{results} holds no sweep: begin one with `capsbench sweep`, or name its folder "
            "with --results"
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
        for heading, told in row.items():
            columns.setdefault(heading, []).append(told)
    told = f"{finished} of {len(ledgers)} cells done in {escape(str(results))}"
    if saved:
        told += f"; pruning saved {saved} epochs"
    if remaining:
        told += f"; {remaining} runs and {_left(results, remaining)} left"
    return Group(_table(columns), told), finished == len(ledgers)


def _table(columns: dict[str, list[str]]) -> Table:
    """Those columns in which something is said: a terminal is narrow."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    said = {heading: column for heading, column in columns.items() if any(column)}
    for heading in said:
        table.add_column(heading, no_wrap=heading == "study")
    for row in zip(*said.values(), strict=True):
        table.add_row(*row)
    return table


def _left(results: Path, remaining: int) -> str:
    """Time left, at the pace of the last runs that ended."""
    ended = sorted(path.stat().st_mtime for path in results.glob("runs/*/record.json"))[-_PACE:]
    if len(ended) < 2:
        return "unknown time"
    minutes = round(remaining * (ended[-1] - ended[0]) / (len(ended) - 1) / 60)
    return f"some {minutes // 60} h {minutes % 60:02} min"
