"""Defines the commands of `python -m sweeps`: run, resume, add, retry, stop, status and others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from benchmarks import interrupts
from benchmarks.commands.cli import (
    Data,
    InterruptibleCommands,
    Offline,
    Results,
    announced,
    command,
    data_folder,
)
from benchmarks.commands.declared_options import declared_by
from benchmarks.records.errors import InputError, SweepStoppedError, first_fault
from benchmarks.records.folders import ResultsFolder
from models import registry
from sweeps import added_variants, driver_lock, matrix, stored_options, worker_server
from sweeps.experiment import Experiment, read_experiment
from sweeps.options import Addition, EngineName, Options
from sweeps.report_process import ReportProcess
from sweeps.studies import start_points

if TYPE_CHECKING:
    from sweeps.retry import Selection

app = typer.Typer(
    cls=InterruptibleCommands,
    help="Search, resume and list: every variant on every dataset.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


OtherData = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the datasets.", show_default="that of the sweep"),
]


@app.command()
@declared_by(Options)
def run(
    context: typer.Context,
    given: dict[str, Any],
    experiment: Annotated[
        Path | None,
        typer.Argument(
            metavar="EXPERIMENT",
            help="A YAML file that names variants, datasets, ranges and budget; options replace "
            "its values.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    results: Results = Path("results"),
    datasets_: Annotated[
        list[str] | None,
        typer.Option(
            "--datasets",
            metavar="NAME",
            help="Datasets to run, your own included; limits --only to these datasets; repeatable.",
            show_default="all but your own",
        ),
    ] = None,
    start: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Points to try after the recipe, one per trial: a YAML or JSON file of cells "
            "and points, or the results folder of an earlier sweep, whose best trials are tried; "
            "repeatable.",
        ),
    ] = None,
    variants: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A Python file that registers variants of your own, which are swept with the "
            "others; repeatable.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and the estimated hours; run nothing."),
    ] = False,
) -> None:
    """Sweeps the chosen cells, or resumes their sweep, and writes the report."""
    plan = Experiment() if experiment is None else read_experiment(experiment)
    own = added_variants.register_variants([*plan.files, *(variants or ())], results)
    folder = data_folder(data)
    if experiment is not None:
        plan.require_known(experiment, own.names)
    given |= {
        name: value for name, value in plan.options.items() if not _on_command_line(context, name)
    }
    only = tuple(given["only"]) or plan.patterns(own.names)
    given["only"] = matrix.limit_to_datasets(datasets_ or plan.datasets, only)
    matrix.choose_cells(given["only"])  # names a wrong pattern; `changes` would blame its variant
    given["changes"] = plan.changes(own.names)
    points = start_points.read_start_points(start or (), given["profile"])
    try:
        choice = Options(**given, data=folder, start=points, variants=own.sha256)
    except ValidationError as error:
        raise _wrong_option(error, experiment, plan) from None
    if dry_run:
        _show_plan(choice)
    else:
        _sweep(choice, results)


def _wrong_option(error: ValidationError, experiment: Path | None, plan: Experiment) -> InputError:
    """Names an option with an impossible value as it was given: in the file, or as an argument."""
    fault = error.errors()[0]
    if fault["loc"][0] in plan.options:
        return InputError(f"{experiment}: {first_fault(error)}")
    option = "-".join(map(str, fault["loc"])).replace("_", "-")
    return InputError(f"--{option}: {fault['msg'].removeprefix('Value error, ')}")


@app.command()
def resume(data: OtherData = None, results: Results = Path("results")) -> None:
    """Resumes the sweep of a results folder, with the options of its last `run`."""
    _sweep(_stored(results, data), results)


@app.command()
def add(
    trials: Annotated[int, typer.Option(min=0, help="More trials per study.")] = 0,
    finals: Annotated[
        int, typer.Option("--finals", "--seeds", min=0, help="More finals per cell.")
    ] = 0,
    only: Annotated[
        list[str] | None,
        typer.Option(help="More cells, as variant/dataset with * for any; repeatable."),
    ] = None,
    data: OtherData = None,
    results: Results = Path("results"),
) -> None:
    """Adds trials, finals or cells to the plan of a sweep, and runs them.

    After an interruption, the same command resumes the addition and adds nothing more.
    """
    if not (trials or finals or only):
        raise InputError("nothing to add: give --trials, --finals or --only")
    choice = _stored(results, data)
    adding = Addition(trials=trials, finals=finals, only=tuple(only or ()))
    if choice.adding == adding:
        print(
            "capsbench: this addition was interrupted and is resumed; to add more, call "
            f"`capsbench add --results {results}` again afterwards",
            file=sys.stderr,
        )
        _sweep(choice, results)
    else:
        _sweep(choice.covering(adding.only), results, adding=adding)


@app.command()
def retry(
    folder: Annotated[
        Path | None, typer.Argument(metavar="RESULTS", show_default="that of --results")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="A part of the failure's reason.", show_default="any")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Cells, as variant/dataset with * for any; repeatable."),
    ] = None,
    other_code: Annotated[
        bool,
        typer.Option(
            "--other-code",
            help="Re-run instead the runs of other code, other libraries or another processor.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be re-run; run nothing.")
    ] = False,
    data: OtherData = None,
    offline: Offline = False,
    results: Results = Path("results"),
) -> None:
    """Re-runs failed trials, finals and single runs; the record of each failure is kept.

    Trials that were proposed from the result of a re-run trial are proposed again if it changes.
    """
    from sweeps.retry import RunsToRetry, Selection

    results = folder or results
    selection = Selection(reason, tuple(only or ()), other_code)
    matrix.choose_cells(selection.only)
    choice = _stored(results, data) if ResultsFolder(results).options.exists() else None
    studies = choice.studies() if choice else ()
    runs = RunsToRetry(results, selection, studies)
    if dry_run:
        for run, _, why in (*runs.single, *runs.of_sweep):
            print(f"{run.run_id}: {why}")
        return
    runs.require_any(results, studies)
    offline = offline or (choice is not None and choice.offline)
    root = choice.data if choice else data_folder(data)
    records = runs.rerun_single(root, offline=offline)
    for record in records:
        print(f"{record.run_id}: {record.status}{f' ({record.reason})' if record.reason else ''}")
    if choice and runs.of_sweep:
        _sweep(choice, results, retried=selection)
    raise SystemExit(1 if any(record.status == "failed" for record in records) else 0)


@app.command()
def stop(results: Results = Path("results")) -> None:
    """Asks the sweep that is running in a results folder to stop; its runs write checkpoints."""
    driver_lock.ask_to_stop(results)
    print(f"the sweep was asked to stop; resume it with `capsbench resume --results {results}`")


@app.command()
def export(
    archive: Annotated[Path, typer.Argument(help="The archive to write, as NAME.tar.gz.")],
    results: Results = Path("results"),
) -> None:
    """Packs the files that reports read into one archive; equal results give equal bytes."""
    from benchmarks.records.archive import pack

    print(f"{archive}: {pack(results, archive)} files; unpack it, then `capsbench report`")


@app.command()
def merge(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE…", help="Archives of `export`, or results folders."),
    ],
    results: Results = Path("results"),
) -> None:
    """Merges archives of several people or machines into a new results folder.

    The digest of each run is checked. A run that does not match is left out, and the exit code is
    1.
    """
    from sweeps.merge import merge_sources

    merged = merge_sources(sources, results)
    for sentence in merged.refused:
        print(f"capsbench: refused: {sentence}", file=sys.stderr)
    print(
        f"{results}: {len(merged.runs)} runs and {len(merged.cells)} cells; next: "
        f"`capsbench report --results {results}`"
    )
    raise SystemExit(1 if merged.refused else 0)


@app.command()
def status(
    results: Results = Path("results"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Repeat until the sweep is done, or Ctrl-C.")
    ] = False,
) -> None:
    """Shows what is done and what remains, with one row per cell."""
    from sweeps.sweep_status import show_status, watch_status

    watch_status(results) if watch else show_status(results)


@app.command("list")
def list_(data: Data = None) -> None:
    """Shows every variant with its task and the datasets that it runs on."""
    from sweeps.sweep_status import show_matrix

    data_folder(data)
    show_matrix()


@app.command()
def speed(
    variant: Annotated[
        list[str] | None, typer.Argument(help="Classifiers.", show_default="linear cnn")
    ] = None,
    trials: Annotated[int, typer.Option(min=4, help="Trials per study.")] = 24,
    data: Data = None,
) -> None:
    """Measures trials per hour of a sweep and of a plain script with Optuna, Lightning and W&B."""
    from sweeps.trials_per_hour import print_trials_per_hour

    names = variant or ["linear", "cnn"]
    for name in names:
        matrix.choose_cells((f"{name}/mnist",), option="VARIANT")
        if registry.available()[name].task != "classification":
            raise InputError(
                f"{name} is no classifier, and the plain recipe trains classifiers only: name one"
            )
    print_trials_per_hour(names, trials, data_folder(data))


def _stored(results: Path, data: Path | None) -> Options:
    """Reads the options of a results folder; `--data` replaces the folder of the datasets.

    Raises:
        InputError: if the folder has no options, or the folder of the datasets does not exist.
    """
    choice = stored_options.restore_options(results)
    if data is not None:
        return choice.model_copy(update={"data": data_folder(data)})
    stored_options.require_data(choice, results)
    return choice


def _on_command_line(context: typer.Context, name: str) -> bool:
    """Returns whether the user gave an option on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _show_plan(choice: Options) -> None:
    matrix.choose_cells(choice.only)  # reports a typing mistake before the slow imports
    with announced("loading PyTorch for the plan"):
        from sweeps.sweep import show_plan

    show_plan(choice)


def _sweep(
    choice: Options,
    results: Path,
    *,
    adding: Addition | None = None,
    retried: Selection | None = None,
) -> NoReturn:
    matrix.choose_cells(choice.only)  # reports a typing mistake before the slow imports
    report, resuming = ReportProcess(results), f"`capsbench resume --results {results}`"
    changed = adding is not None or retried is not None
    asked = changed or not stored_options.is_finished(choice, results)
    if choice.engine is EngineName.processes and asked:
        worker_server.start_worker_server()
    try:
        with announced("loading PyTorch for the sweep"):
            from sweeps.sweep import sweep

        cells = sweep(choice, results, report, adding=adding, retried=retried)
        code = report.write()
    except SweepStoppedError as error:
        report.abandon()
        raise InputError(f"{error}, then go on with {resuming}") from None
    except (KeyboardInterrupt, interrupts.Interrupted) as interruption:
        report.abandon()
        interrupts.end_process(
            f"interrupted; finished runs are kept. Go on with {resuming} or the same command "
            "again.",
            getattr(interruption, "exit_code", 130),
        )
    failed = [cell for cell in cells if cell.done and cell.failure is not None]
    for cell in failed:
        print(f"capsbench: {cell.study} has no final: {cell.failure}", file=sys.stderr)
    held = [cell for cell in cells if cell.held is not None]
    for cell in held:
        print(f"capsbench: {cell.study} is not done: {cell.held} with {resuming}", file=sys.stderr)
    raise SystemExit(1 if failed or held else code)


if __name__ == "__main__":
    command(app)
