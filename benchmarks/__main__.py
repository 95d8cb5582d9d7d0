"""`python -m benchmarks`: run, reproduce, data, options, speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks import datasets
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
    require_gpu,
)
from benchmarks.errors import InputError
from benchmarks.lightning import import_lightning
from benchmarks.logs import PLAIN, Logging
from benchmarks.profiles import Name
from benchmarks.profiles import load as load_profile
from models import registry

app = typer.Typer(
    help="Make one run, make it again, look at the data, measure speed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Variant = Annotated[str, typer.Argument(help="A variant, as `python -m sweeps list` names it.")]

Where = Literal["cpu", "cuda"]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A hyper-parameter; repeatable."),
]


@app.command()
def run(
    variant: Variant,
    dataset: Annotated[
        str, typer.Argument(help=f"One of {', '.join((*datasets.names(), *datasets.BESIDE))}.")
    ],
    profile: Annotated[Name, typer.Option(help="How much the run may spend.")] = Name.quick,
    set_: Settings = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID",
            help="The run whose trained model the variant needs (ocae: a run of pcae).",
            show_default="one is trained",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Where all randomness starts from.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the profile's.")] = None,
    train_samples: Annotated[
        int | None, typer.Option(min=1, help="Training samples an epoch, instead of the profile's.")
    ] = None,
    validation_samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Validation samples: 10 or more, and of still images at most a fifth of the "
            "training data. 0: none, only with --final.",
        ),
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Score it on test data too: once, at the end.")
    ] = False,
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed.")] = "32-true",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; they decide bits.", show_default="profile's")
    ] = None,
    device: Annotated[Where, typer.Option(help="Where the run is computed.")] = "cpu",
    non_deterministic: Annotated[
        bool, typer.Option("--non-deterministic", help="Allow operations that differ by run.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Autograd's anomaly detection: slow, for NaN.")
    ] = False,
    project: Project = PLAIN.project,
    team: Team = PLAIN.team,
    run_name: RunName = PLAIN.name,
    upload: Upload = PLAIN.upload,
    no_wandb: NoWandb = not PLAIN.wandb,
    log_every: LogEvery = PLAIN.every,
    data: Data = None,
    results: Results = Path("results"),
    offline: Offline = False,
) -> None:
    """Makes one run with its own hyper-parameters; prints its metrics and draws their curves."""
    import_lightning()
    from benchmarks.single import make

    budget = {
        "epochs": epochs,
        "train_samples": train_samples,
        "validation_samples": validation_samples,
    }
    record = make(
        variant=_variant(variant),
        dataset=_dataset(dataset),
        profile=load_profile(profile),
        settings=_settings(set_),
        base=base,
        seed=seed,
        budget={name: number for name, number in budget.items() if number is not None},
        role="final" if final else "trial",
        precision=precision,
        threads=threads,
        device=device,
        deterministic=not non_deterministic,
        log=Logging(
            project=project,
            team=team,
            name=run_name,
            upload=upload,
            wandb=not no_wandb,
            every=log_every,
        ),
        debug=debug,
        root=data_folder(data),
        results=results,
        offline=offline,
    )
    raise SystemExit(1 if record.status == "failed" else 0)


@app.command()
def reproduce(
    run_id: Annotated[str, typer.Argument(help="A run of the results folder.")],
    data: Data = None,
    results: Results = Path("results"),
    offline: Offline = False,
) -> None:
    """Makes a run again, and says bit-equal or where it first differs (exit code 1)."""
    from benchmarks.single import make_again

    equal = make_again(run_id, root=data_folder(data), results=results, offline=offline)
    raise SystemExit(0 if equal else 1)


@app.command("data")
def data_(
    data: Data = None,
    profile: Annotated[Name, typer.Option(help="Whose data.")] = Name.quick,
    offline: Offline = False,
) -> None:
    """Shows each dataset: state, samples, shapes, SHA-256 of the decoded arrays, where it lies."""
    from benchmarks.single import show_data

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
    from benchmarks.single import hyperparameters
    from benchmarks.speed import main as measure

    names = [_variant(name) for name in variant or ()]
    settings = _settings(set_)
    if settings:
        if len(names) != 1:
            raise InputError("--set is of one variant: name one")
        hyperparameters(names[0], None, settings)
    if device == "cuda":
        require_gpu()
    measure(names or None, threads, batch, settings, device=device, profiled=profiled)


def _variant(name: str) -> str:
    if name not in registry.available():
        raise InputError(registry.unknown(name))
    return name


def _dataset(name: str) -> str:
    known = (*datasets.names(), *datasets.BESIDE)
    if name not in known:
        hint = registry.nearest(name, known)
        raise InputError(f"no dataset is called {name!r}: {hint}")
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
