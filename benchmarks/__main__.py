"""Defines the commands of `python -m benchmarks`: run, evaluate, predict, data and others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from benchmarks import datasets, own_variants
from benchmarks.commands import data_command
from benchmarks.commands.cli import (
    Data,
    InterruptibleCommands,
    Offline,
    Results,
    announced,
    chosen_device,
    command,
    data_folder,
    plain_console,
)
from benchmarks.commands.declared_options import declared_by
from benchmarks.commands.run_options import RunOptions
from benchmarks.lightning import import_lightning
from benchmarks.records.errors import InputError
from models import registry

app = typer.Typer(
    cls=InterruptibleCommands,
    help="Make, score or reproduce one run, use its model, show the data, measure speed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_command.app, name="data")

Variant = Annotated[
    str,
    typer.Argument(
        help="A variant (`capsbench list` lists them), or a Python file that registers one."
    ),
]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set a hyper-parameter; repeatable."),
]


@app.command()
@declared_by(RunOptions)
def run(
    given: dict[str, Any],
    variant: Variant,
    dataset: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join((*datasets.names(), *datasets.extra_names()))}, or one of "
            "your own; `capsbench data` lists them."
        ),
    ],
    set_: Settings = None,
    data: Data = None,
    results: Results = Path("results"),
) -> None:
    """Makes one run, prints its metrics and draws their curves.

    Data is held in memory and cut into batches on the device: there are no data workers to set.
    """
    with announced(f"loading PyTorch to train {variant} on {dataset}"):
        import_lightning()
        from benchmarks.commands.run_command import make_run

    choice = RunOptions(**given, hyperparameters=_settings(set_))
    record = make_run(
        own_variants.named(variant), dataset, choice, data=data_folder(data), results=results
    )
    raise SystemExit(1 if record.status == "failed" else 0)


@app.command()
def reproduce(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN_ID|ARCHIVE",
            help="A run in the results folder; with --sample, an archive or a results folder.",
        ),
    ],
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Re-run that many runs of an archive, chosen at random."),
    ] = None,
    data: Data = None,
    results: Results = Path("results"),
    offline: Offline = False,
) -> None:
    """Re-runs a run. Prints that the results are bit-equal, or where they differ (exit code 1)."""
    with announced(f"loading PyTorch to re-run {run}"):
        from benchmarks.commands.reproduction import reproduce_run, reproduce_sample

    root = data_folder(data)
    if sample is None:
        equal = reproduce_run(run, root=root, results=results, offline=offline)
    else:
        equal = reproduce_sample(Path(run), sample, root=root, offline=offline)
    raise SystemExit(0 if equal else 1)


@app.command()
def evaluate(
    run_id: Annotated[str, typer.Argument(help="The id of a finished run in the results folder.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Another dataset of the same shape; its scores are stored apart.",
            show_default="the run's own",
        ),
    ] = None,
    data: Data = None,
    results: Results = Path("results"),
    offline: Offline = False,
) -> None:
    """Scores a finished run on test data, without training again: the record that --final makes."""
    with announced(f"loading PyTorch to score {run_id}"):
        import_lightning()
        from benchmarks.commands.evaluate_command import evaluate_run

    root = data_folder(data)
    evaluate_run(run_id, dataset=dataset, root=root, results=results, offline=offline)


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="The id of a run, or the path of a weights file.")],
    files: Annotated[list[Path], typer.Argument(help="Images, .npy files or clips.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of tables, arrays and pictures.", show_default="none is written"),
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Shows a trained model's answer to files: classes, reconstructions or future frames."""
    with announced(f"loading PyTorch to use {run}"):
        import_lightning()
        from benchmarks.commands.predict_command import predict_files

    predict_files(run, files, out=out, results=results)


@app.command()
def options(variant: Variant) -> None:
    """Shows a variant's hyper-parameters (default, bounds, meaning), presets and search spaces."""
    with announced(f"loading PyTorch to describe {variant}"):
        from sweeps.variant_description import describe

        described = describe(_variant(variant))
    plain_console().print(described)


@app.command()
def speed(
    variant: Annotated[list[str] | None, typer.Argument(help="Variants; all by default.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each step.")] = 2,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Samples per step; by default the usual number for the task."),
    ] = None,
    set_: Settings = None,
    profiled: Annotated[
        bool, typer.Option("--profiled", help="Also show which operators take the time.")
    ] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="Device that computes the steps; auto: a GPU if there is one."),
    ] = "auto",
) -> None:
    """Compares the speed of each variant's training step with that of its textbook version.

    This takes up to two minutes for one variant, and up to fifteen minutes for all.
    """
    from benchmarks.specs.run_recipes import Recipe
    from benchmarks.speed.speed_table import print_speed

    names = [_variant(name) for name in variant or ()]
    settings = _settings(set_)
    if settings:
        if len(names) != 1:
            raise InputError("--set applies to one variant: name exactly one variant")
        Recipe(names[0], "", {}, registry.variant(names[0]).Config, {}).resolve(settings)
    where = chosen_device(device)
    print_speed(names or None, threads, batch, settings, device=where, profiled=profiled)


def _variant(text: str) -> str:
    name = own_variants.named(text)
    if name not in registry.available():
        raise InputError(registry.unknown_variant(name))
    return name


def _settings(texts: list[str] | None) -> dict[str, object]:
    return dict(_setting(text) for text in texts or ())


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r} has no value: write --set NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    command(app)
