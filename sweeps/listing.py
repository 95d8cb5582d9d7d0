"""What `list` and `status` print: from file names and ledgers, without slow imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import datasets
from benchmarks.errors import InputError
from models import registry


def show_matrix() -> None:
    """Prints every variant with its task and what it sees of each dataset, then what it is."""
    matrix = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    words = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for heading in ("task", "variant", *datasets.names()):
        matrix.add_column(heading, no_wrap=True)
    words.add_column(no_wrap=True)
    for entry in registry.available().values():
        forms = (_form(entry.task, dataset) for dataset in datasets.names())
        matrix.add_row(entry.task, entry.name, *forms)
        words.add_row(entry.name, entry.summary)
    console = Console()
    console.print(matrix)
    console.print()
    console.print(words)


def _form(task: str, dataset: str) -> str:
    """As what a task sees a dataset; `benchmarks.protocol` says it in full."""
    if task == "prediction":
        return "frames" if dataset == "moving_mnist" else "moving"
    return "2 digits" if dataset == "moving_mnist" else "images"


def show_status(results: Path) -> None:
    """Prints each cell's trials and finals, done and planned. Raises InputError."""
    ledgers = sorted((results / "cells").glob("*.json"))
    if not ledgers:
        raise InputError(
            f"{results} holds no sweep: begin one with `python -m sweeps run`, or name its folder "
            "with --results"
        )
    running = _running(results)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("study", "data", "trials", "finals", "under way", ""):
        table.add_column(heading)
    finished = 0
    for path in ledgers:
        cell = _read(path)
        planned = cell["planned"]
        ended = len(cell["finals"]) == planned["finals"]
        finished += ended
        own = [r for r in running if r.startswith(f"{cell['variant']}-{cell['dataset']}-")]
        table.add_row(
            cell["study"],
            cell["data"],
            f"{len(cell['trials'])}/{planned['trials']}",
            f"{len(cell['finals'])}/{planned['finals']}",
            str(len(own) or ""),
            f"[red]{escape(cell['reason'])}[/]" if cell["reason"] else ("done" if ended else ""),
        )
    console = Console()
    console.print(table)
    console.print(f"{finished} of {len(ledgers)} cells done in {results}")


def _read(path: Path) -> dict[str, Any]:
    known = {"study", "variant", "dataset", "data", "planned", "trials", "finals", "reason"}
    try:
        cell = json.loads(path.read_bytes())
        if known <= cell.keys() and {"trials", "finals"} <= cell["planned"].keys():
            return cell
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{path} is not a cell's ledger: remove it, and a sweep makes it anew")


def _running(results: Path) -> list[str]:
    """Runs that have begun and not ended: under way, or interrupted."""
    return [
        path.name
        for path in (results / "runs").glob("*")
        if (path / "metrics.jsonl").exists() and not (path / "record.json").exists()
    ]
