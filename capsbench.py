"""Runs `capsbench COMMAND`: one command line for runs, sweeps and reports."""

from __future__ import annotations

from benchmarks.records import early_interrupt  # the first import, since the others take time

# isort: split
from typing import Annotated, NoReturn

import typer

from benchmarks import __main__ as runs
from benchmarks.commands import data_command
from benchmarks.commands.cli import InterruptibleCommands, command
from benchmarks.provenance import code_version, version
from reports import __main__ as reports
from sweeps import __main__ as sweeps

app = typer.Typer(
    cls=InterruptibleCommands,
    help="One reproducible benchmark for structured vision models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SWEEPS, READING, RUNS = "Sweeps", "Reading results", "Single runs, data and speed"

app.command("sweep", rich_help_panel=SWEEPS)(sweeps.run)
app.command(rich_help_panel=SWEEPS)(sweeps.resume)
app.command(rich_help_panel=SWEEPS)(sweeps.status)
app.command(rich_help_panel=SWEEPS)(sweeps.stop)
app.command(rich_help_panel=SWEEPS)(sweeps.add)
app.command(rich_help_panel=SWEEPS)(sweeps.retry)
app.command("list", rich_help_panel=SWEEPS)(sweeps.list_)
app.command(rich_help_panel=SWEEPS)(sweeps.export)
app.command(rich_help_panel=SWEEPS)(sweeps.merge)
app.command("report", rich_help_panel=READING)(reports.build)
app.command("show", rich_help_panel=READING)(reports.show_again)
app.command(rich_help_panel=READING)(reports.compare)
app.command(rich_help_panel=RUNS)(runs.run)
app.command(rich_help_panel=RUNS)(runs.reproduce)
app.command(rich_help_panel=RUNS)(runs.evaluate)
app.command(rich_help_panel=RUNS)(runs.predict)
app.command(rich_help_panel=RUNS)(runs.options)
app.add_typer(data_command.app, name="data", rich_help_panel=RUNS)
app.command(rich_help_panel=RUNS)(runs.speed)
app.command("sweep-speed", rich_help_panel=RUNS)(sweeps.speed)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"capsbench {version()}, code {code_version()}")
        raise typer.Exit


@app.callback()
def _front_door(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, and the hash of the code that decides numbers.",
        ),
    ] = False,
) -> None:
    """One reproducible benchmark for structured vision models."""


def entry() -> NoReturn:
    """Runs the command line; what the console command `capsbench` calls."""
    command(app)


early_interrupt.hand_over()


if __name__ == "__main__":
    entry()
