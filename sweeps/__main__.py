"""`python -m sweeps`: run, resume, add, stop, status, export, list, speed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import interrupts
from benchmarks.cli import Data, Results, command, data_folder
from benchmarks.declared_options import declared_by
from benchmarks.records.errors import InputError
from models import registry
from sweeps import options, start_points, worker_server
from sweeps.options import EngineName, Options
from sweeps.report_process import Report

app = typer.Typer(
    help="Search, resume and list: every variant on every dataset.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
@declared_by(Options)
def run(
    given: dict[str, Any],
    data: Data = None,
    results: Results = Path("results"),
    start: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Points to try after the recipe, each in a trial: a YAML or JSON file of cells "
            "and points, or an earlier results folder, for its best trials; repeatable.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and the estimated hours, and end there."),
    ] = False,
) -> None:
    """Sweeps the chosen cells, or goes on where that stopped, and writes the report."""
    points = start_points.read(start or (), given["profile"])
    choice = Options(**given, data=data_folder(data), start=points)
    if dry_run:
        _show_plan(choice)
    else:
        _sweep(choice, results)


@app.command()
def resume(results: Results = Path("results")) -> None:
    """Goes on with the sweep of a results folder, with the options of its last `run`."""
    _sweep(options.load_options(results), results)


@app.command()
def add(
    trials: Annotated[int, typer.Option(min=0, help="More trials per study.")] = 0,
    seeds: Annotated[
        int, typer.Option("--finals", "--seeds", min=0, help="More finals per cell.")
    ] = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="More cells, as `run` has them; repeatable.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Adds trials, finals or cells to the sweep of a results folder, and makes them."""
    if not (trials or seeds or only):
        raise InputError("nothing to add: give --trials, --finals or --only")
    _sweep(options.load_options(results).grown(trials, seeds, tuple(only or ())), results)


@app.command()
def stop(results: Results = Path("results")) -> None:
    """Asks the driver at work in a results folder to leave; what runs ends at a checkpoint."""
    options.ask_to_stop(results)
    print(f"asked; go on with `capsbench resume --results {results}`")


@app.command()
def export(
    archive: Annotated[Path, typer.Argument(help="The archive to write, as NAME.tar.gz.")],
    results: Results = Path("results"),
) -> None:
    """Packs what `reports` reads into one archive, byte-identical for equal results."""
    from sweeps.export import write

    print(f"{archive}: {write(results, archive)} files; unpack it, then `capsbench report`")


@app.command()
def status(
    results: Results = Path("results"),
    watch: Annotated[bool, typer.Option("--watch", help="Until all is done, or Ctrl-C.")] = False,
) -> None:
    """Shows what is done and what remains, cell by cell."""
    from sweeps.sweep_status import show_status, watch_status

    watch_status(results) if watch else show_status(results)


@app.command("list")
def list_() -> None:
    """Shows the matrix: every variant, its task, and the datasets it runs on."""
    from sweeps.sweep_status import show_matrix

    show_matrix()


@app.command()
def speed(
    variant: Annotated[
        list[str] | None, typer.Argument(help="Classifiers.", show_default="linear cnn")
    ] = None,
    trials: Annotated[int, typer.Option(min=4, help="Trials in each study.")] = 24,
    data: Data = None,
) -> None:
    """Measures trials an hour, beside a plain recipe of Optuna, Lightning and Weights & Biases."""
    from sweeps.trials_per_hour import show

    names = variant or ["linear", "cnn"]
    for name in names:
        options.choose((f"{name}/mnist",), option="VARIANT")
        if registry.available()[name].task != "classification":
            raise InputError(f"{name} is no classifier, which the plain recipe trains")
    show(names, trials, data_folder(data))


def _show_plan(choice: Options) -> None:
    options.choose(choice.only)  # before the slow imports
    from sweeps.sweep import show_plan

    show_plan(choice)


def _sweep(choice: Options, results: Path) -> None:
    options.choose(choice.only)  # before the slow imports: a typing mistake is told at once
    report = Report(results)
    if choice.engine is EngineName.processes and not options.finished(choice, results):
        worker_server.start()
    try:
        from sweeps.sweep import sweep

        cells = sweep(choice, results, report)
        code = report.write()
    except (KeyboardInterrupt, interrupts.Interrupted) as interruption:
        report.abandon()
        interrupts.end_process(
            f"interrupted; what has ended is kept. Go on with `capsbench resume --results "
            f"{results}` or the same command again.",
            getattr(interruption, "exit_code", 130),
        )
    failed = [cell for cell in cells if cell.done and cell.failure is not None]
    for cell in failed:
        print(f"capsbench: {cell.study} has no final: {cell.failure}", file=sys.stderr)
    held = [cell for cell in cells if cell.held is not None]
    for cell in held:
        print(
            f"capsbench: {cell.study} is not done: {cell.held} with `capsbench resume --results "
            f"{results}`",
            file=sys.stderr,
        )
    raise SystemExit(1 if failed or held else code)


if __name__ == "__main__":
    command(app)
