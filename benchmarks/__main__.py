"""`python -m benchmarks`: run, reproduce, data, options, speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import datasets
from benchmarks.cli import Data, Offline, Results, command, data_folder, require_gpu
from benchmarks.declared_options import declared_by
from benchmarks.lightning import import_lightning
from benchmarks.profiles import ProfileName, load_profile
from benchmarks.records.errors import InputError
from benchmarks.run_options import RunOptions, Where
from models import registry

app = typer.Typer(
    help="Make one run, make it again, look at the data, measure speed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Variant = Annotated[str, typer.Argument(help="A variant, as `python -m sweeps list` names it.")]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A hyper-parameter; repeatable."),
]


@app.command()
@declared_by(RunOptions)
def run(
    given: dict[str, Any],
    variant: Variant,
    dataset: Annotated[
        str,
        typer.Argument(help=f"One of {', '.join((*datasets.names(), *datasets.extra_names()))}."),
    ],
    set_: Settings = None,
    data: Data = None,
    results: Results = Path("results"),
) -> None:
    """Makes one run with its own hyper-parameters; prints its metrics and draws their curves."""
    import_lightning()
    from benchmarks.commands import make_run

    choice = RunOptions(**given, hyperparameters=_settings(set_))
    record = make_run(variant, dataset, choice, data=data_folder(data), results=results)
    raise SystemExit(1 if record.status == "failed" else 0)


@app.command()
def reproduce(
    run_id: Annotated[str, typer.Argument(help="A run of the results folder.")],
    data: Data = None,
    results: Results = Path("results"),
    offline: Offline = False,
) -> None:
    """Makes a run again, and says bit-equal or where it first differs (exit code 1)."""
    from benchmarks.commands import reproduce_run

    equal = reproduce_run(run_id, root=data_folder(data), results=results, offline=offline)
    raise SystemExit(0 if equal else 1)


@app.command("data")
def data_(
    data: Data = None,
    profile: Annotated[ProfileName, typer.Option(help="Whose data.")] = ProfileName.quick,
    offline: Offline = False,
) -> None:
    """Shows each dataset: state, samples, shapes, SHA-256 of the decoded arrays, where it lies."""
    from benchmarks.commands import show_data

    show_data(load_profile(profile), root=data_folder(data), offline=offline)


@app.command()
def options(variant: Variant) -> None:
    """Shows a variant's hyper-parameters (default, bounds, meaning), presets and searches."""
    from rich.console import Console

    from sweeps.description import describe

    Console().print(describe(_variant(variant)))


@app.command()
def speed(
    variant: Annotated[list[str] | None, typer.Argument(help="Variants; all by default.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads for all.")] = 2,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples in a step; as is usual for the task.")
    ] = None,
    set_: Settings = None,
    profiled: Annotated[
        bool, typer.Option("--profiled", help="Show in which operators the time goes, too.")
    ] = False,
    device: Annotated[Where, typer.Option(help="Where all steps are computed.")] = "cpu",
) -> None:
    """Measures a training step of each variant against its textbook version, pair by pair.

    It takes up to two minutes for a variant, and up to fifteen for all.
    """
    from benchmarks.run_recipes import Recipe
    from benchmarks.step_speed import print_speed

    names = [_variant(name) for name in variant or ()]
    settings = _settings(set_)
    if settings:
        if len(names) != 1:
            raise InputError("--set is of one variant: name one")
        Recipe(names[0], "", {}, registry.variant(names[0]).Config, {}).resolve(settings)
    if device == "cuda":
        require_gpu()
    print_speed(names or None, threads, batch, settings, device=device, profiled=profiled)


def _variant(name: str) -> str:
    if name not in registry.available():
        raise InputError(registry.unknown(name))
    return name


def _settings(texts: list[str] | None) -> dict[str, object]:
    return dict(_setting(text) for text in texts or ())


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r} has no value: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    command(app)
