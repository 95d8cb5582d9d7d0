"""The command line of reports: `python -m reports build|show`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Tables and figures of a results folder."
)
Folder = Annotated[Path, typer.Option("--results", metavar="DIR", help="The folder of the sweep.")]


@app.command()
def build(
    results: Folder = Path("results"),
    figures: Annotated[bool, typer.Option(help="Draw the figures too.")] = True,
) -> None:
    """Write the report under DIR/report and print the leaderboard; works on partial results."""
    from rich.console import Console

    from reports.records import load
    from reports.tables import write_tables
    from reports.terminal import show

    report = results / "report"
    with _errors_told():
        found = load(results)
        if figures:
            from reports.figures import write_figures

            write_figures(found, report / "figures")
        # Last: where the tables are newer than the cells, the whole report is.
        write_tables(found, report / "tables")
        show(found, Console())
    typer.echo(f"Report: {report}")


@app.command("show")
def show_again(results: Folder = Path("results")) -> None:
    """Print the leaderboard and write nothing."""
    from rich.console import Console

    from reports.records import load
    from reports.terminal import show

    with _errors_told():
        show(load(results), Console())
    typer.echo(f"Report: {results / 'report'}")


@contextmanager
def _errors_told() -> Iterator[None]:
    """Files that cannot be read or written end the command with one sentence and exit code 2."""
    from reports.records import ReportError

    try:
        yield
    except (ReportError, OSError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app(prog_name="python -m reports")
