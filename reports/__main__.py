"""Runs the command line of reports: `python -m reports build|show|compare`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from benchmarks.records.terminal import fail, run_command

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tables, figures and a page of a results folder.",
)
Folder = Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")]


@app.command()
def build(
    results: Folder = Path("results"),
    only: Annotated[
        list[str] | None,
        typer.Option(help="A table, `figures` or `page`; repeatable.", show_default="all"),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="csv, parquet, markdown, latex, svg, png, pdf or html; repeatable.",
            show_default="all but pdf",
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also add the page, the tables and an archive to a static site in this folder.",
        ),
    ] = None,
    site_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The sweep's name there.", show_default="the results folder's"
        ),
    ] = None,
    wandb: Annotated[
        bool,
        typer.Option(
            "--wandb", help="Also log leaderboard and scores into an offline Weights & Biases run."
        ),
    ] = False,
    headline: Annotated[
        bool,
        typer.Option("--headline", help="Write the headline table of this checkout instead."),
    ] = False,
    headline_from: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The same, after adding the headline runs of a results folder."
        ),
    ] = None,
) -> None:
    """Writes the report into DIR/report, prints the leaderboard; works on partial results."""
    if headline or headline_from is not None:
        with _errors_as_sentences():
            _headline(headline_from)
        return
    with _errors_as_sentences():
        from rich.console import Console

        from reports.build import build as build_report
        from reports.terminal_tables import show

        found = build_report(results, only or (), formats or ())
        show(found, Console())
        if wandb:
            from reports.tables import build_tables
            from reports.wandb_tables import SHOWN, log_tables

            typer.echo(f"Send with: wandb sync {log_tables(build_tables(found, SHOWN), results)}")
        if site is not None:
            from reports.site import add_to_site

            typer.echo(f"Site: {add_to_site(found, site, site_name)}")
    page = results / "report" / "index.html"
    typer.echo(f"Report: {page if page.is_file() else page.parent}")


def _headline(results: Path | None) -> None:
    from reports.headline.document import DOCUMENT, write_headline
    from reports.headline.rows import add_records

    for run_id in add_records(results) if results is not None else ():
        typer.echo(f"added {run_id}")
    write_headline()
    typer.echo(f"Headline: {DOCUMENT}")


@app.command("show")
def show_again(
    results: Folder = Path("results"),
    table: Annotated[
        list[str] | None, typer.Option(help="A table by name; repeatable.", show_default="scores")
    ] = None,
) -> None:
    """Prints the scores of each dataset and single runs, or tables by name; writes nothing."""
    with _errors_as_sentences():
        from rich.console import Console

        from reports.results import read_results
        from reports.terminal_tables import show, show_tables

        found = read_results(results)
        if table:
            show_tables(found, table, Console())
        else:
            show(found, Console())
    page = results / "report" / "index.html"
    unwritten = f"`capsbench report --results {results}` writes one"
    typer.echo(f"Report: {page if page.is_file() else unwritten}")


@app.command()
def compare(
    things: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS_A RESULTS_B | RUN_ID RUN_ID …",
            help="Two results folders, or runs of the folder that --results names.",
        ),
    ],
    results: Folder = Path("results"),
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with every column.")] = False,
) -> None:
    """Prints what changed from one results folder to another, or puts runs side by side.

    Of folders: paired differences over the seeds that both have. Of runs: what differs in their
    specs, and their metrics; their curves are drawn too.
    """
    with _errors_as_sentences():
        from rich.console import Console

        from reports import formats
        from reports.terminal_tables import show_comparison, show_runs

        folders = [Path(thing) for thing in things if (Path(thing) / "runs").is_dir()]
        if len(folders) == len(things) == 2:
            from reports.compare import compare as compare_results
            from reports.results import read_results

            found = compare_results(*map(read_results, folders))
            show = show_comparison
        else:
            from reports.compare_runs import compare_runs, draw_compared_curves, read_runs

            records = read_runs(results, things)
            found = compare_runs(records)
            show = show_runs
            typer.echo(f"Curves: {draw_compared_curves(results, records)}", err=True)
        if csv:
            typer.echo(formats.csv(found), nl=False)
        else:
            show(found, Console())


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    """Ends the command with one sentence and exit code 2 if a file cannot be read or written."""
    from benchmarks.records.errors import InputError

    try:
        yield
    except (InputError, OSError) as error:
        fail(str(error))


def main() -> NoReturn:
    """Runs the command line, and ends the process."""
    run_command(lambda: app(prog_name="python -m reports"))


if __name__ == "__main__":
    main()
