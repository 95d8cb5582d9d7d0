"""`python -m sweeps`: run, resume, add, stop, status, export, list, speed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import leaving
from benchmarks.cli import (
    Data,
    LogEvery,
    NoWandb,
    Offline,
    Project,
    Results,
    RunName,
    Team,
    Upload,
    command,
    data_folder,
)
from benchmarks.errors import InputError
from benchmarks.logs import PLAIN, Logging
from benchmarks.profiles import Name
from models import registry
from sweeps import options, starts, worker_server
from sweeps.options import Device, EngineName, Options
from sweeps.report import Report
from sweeps.strategy import Sampler

app = typer.Typer(
    help="Search, resume and list: every variant on every dataset.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    profile: Annotated[Name, typer.Option(help="How much a run may spend.")] = Name.quick,
    data: Data = None,
    results: Results = Path("results"),
    only: Annotated[
        list[str] | None,
        typer.Option(help="Cells to run, as variant/dataset with * for any; repeatable."),
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="Where runs are made.")] = EngineName.processes,
    workers: Annotated[
        int, typer.Option(min=1, help="Runs at once; decides no figure.", show_default="cores")
    ] = options.usable_cores(),
    scheduler: Annotated[
        str | None,
        typer.Option(help="A Dask scheduler to join, as tcp://host:port; all its workers serve."),
    ] = None,
    sampler: Annotated[
        Sampler | None,
        typer.Option(help="Who proposes trials.", show_default="the space file's, tpe"),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Of the studies: postgresql+psycopg://user@host/database, or a journal file.",
            show_default="studies.db in the results",
        ),
    ] = None,
    epoch_hours: Annotated[
        float,
        typer.Option(
            min=1e-3, max=1e6, help="A worker in which no epoch ends for so long is taken to hang."
        ),
    ] = options.EPOCH_HOURS,
    trials: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Trials in a study; 0: no search, finals of the recipe.",
            show_default="the profile's",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Finals a cell.", show_default="the profile's")
    ] = None,
    start: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Points to try after the recipe, each in a trial: a YAML or JSON file of cells "
            "and points, or an earlier results folder, for its best trials; repeatable.",
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where models are trained.")] = Device.auto,
    project: Project = PLAIN.project,
    team: Team = PLAIN.team,
    run_name: RunName = PLAIN.name,
    upload: Upload = PLAIN.upload,
    no_wandb: NoWandb = not PLAIN.wandb,
    log_every: LogEvery = PLAIN.every,
    offline: Offline = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and the estimated hours, and end there."),
    ] = False,
) -> None:
    """Sweeps the chosen cells, or goes on where that stopped, and writes the report."""
    choice = Options(
        profile=profile,
        data=data_folder(data),
        only=tuple(only or ()),
        engine=EngineName.dask if scheduler else engine,
        workers=workers,
        scheduler=scheduler,
        sampler=sampler,
        storage=storage if storage is None or "://" in storage else str(Path(storage).resolve()),
        epoch_hours=epoch_hours,
        trials=trials,
        seeds=seeds,
        start=starts.read(start or (), profile),
        device=device,
        log=Logging(
            project=project,
            team=team,
            name=run_name,
            upload=upload,
            wandb=not no_wandb,
            every=log_every,
        ),
        offline=offline,
    )
    if dry_run:
        _show_plan(choice)
    else:
        _sweep(choice, results)


@app.command()
def resume(results: Results = Path("results")) -> None:
    """Goes on with the sweep of a results folder, with the options of its last `run`."""
    _sweep(options.load(results), results)


@app.command()
def add(
    trials: Annotated[int, typer.Option(min=0, help="More trials a study.")] = 0,
    seeds: Annotated[int, typer.Option(min=0, help="More finals a cell.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="More cells, as `run` has them; repeatable.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Adds trials, finals or cells to the sweep of a results folder, and makes them."""
    if not (trials or seeds or only):
        raise InputError("nothing to add: say --trials, --seeds or --only")
    _sweep(options.load(results).grown(trials, seeds, tuple(only or ())), results)


@app.command()
def stop(results: Results = Path("results")) -> None:
    """Asks the driver at work in a results folder to leave; what runs ends at a checkpoint."""
    options.ask_to_stop(results)
    print(f"asked; go on with `python -m sweeps resume --results {results}`")


@app.command()
def export(
    archive: Annotated[Path, typer.Argument(help="The archive to write, as NAME.tar.gz.")],
    results: Results = Path("results"),
) -> None:
    """Packs what `reports` reads into one archive, byte-identical for equal results."""
    from sweeps.export import write

    print(f"{archive}: {write(results, archive)} files; unpack it, then `python -m reports build`")


@app.command()
def status(
    results: Results = Path("results"),
    watch: Annotated[bool, typer.Option("--watch", help="Until all is done, or Ctrl-C.")] = False,
) -> None:
    """Shows what is done and what remains, cell by cell."""
    from sweeps.listing import show_status, watch_status

    watch_status(results) if watch else show_status(results)


@app.command("list")
def list_() -> None:
    """Shows the matrix: every variant, its task, and the datasets it runs on."""
    from sweeps.listing import show_matrix

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
    from sweeps.speed import show

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
    if choice.engine is EngineName.processes and not report.current:
        worker_server.start()
    try:
        from sweeps.sweep import sweep

        cells = sweep(choice, results, report)
    except (KeyboardInterrupt, leaving.Leave) as interruption:
        leaving.end(
            f"interrupted; what has ended is kept. Go on with `python -m sweeps resume --results "
            f"{results}` or the same command again.",
            getattr(interruption, "exit_code", 130),
        )
    code = report.write()
    failed = [cell for cell in cells if cell.failure is not None]
    for cell in failed:
        print(f"capsbench: {cell.study} has no final: {cell.failure}", file=sys.stderr)
    raise SystemExit(1 if failed else code)


if __name__ == "__main__":
    command(app)
