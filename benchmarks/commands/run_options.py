"""Declares the options of `capsbench run`. Importing this module is fast."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, ConfigDict

from benchmarks.commands.cli import Epochs, Offline, RunPrecision, TrainSamples
from benchmarks.records.errors import InputError
from benchmarks.specs.profiles import PROFILE_OPTION, ProfileName
from benchmarks.wandb_options import PLAIN, WandbOptions

Where = Literal["auto", "cpu", "cuda", "mps"]


class RunOptions(BaseModel):
    """Holds the options of one run; an option that is None takes the profile's value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[ProfileName, PROFILE_OPTION] = ProfileName.quick
    hyperparameters: dict[str, Any] = {}
    base: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID",
            help="Run whose trained model the variant is built on (ocae: a run of pcae).",
            show_default="a base is trained first",
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")] = 0
    epochs: Epochs = None
    train_samples: TrainSamples = None
    validation_samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Validation samples: 10 or more; for still images, a fifth of the training data "
            "at most. 0 is possible only with --final.",
            show_default="the profile's",
        ),
    ] = None
    test_samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Test samples to score, with --final or by `capsbench evaluate`.",
            show_default="the profile's",
        ),
    ] = None
    final: Annotated[
        bool, typer.Option("--final", help="Also score the run on test data, once, at the end.")
    ] = False
    test_curve: Annotated[
        bool,
        typer.Option(
            "--test-curve",
            help="With --final: score test data after each epoch. Nothing is chosen by the scores.",
        ),
    ] = False
    precision: RunPrecision = "32-true"
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads; another number changes rounding.",
            show_default="the profile's",
        ),
    ] = None
    device: Annotated[
        Where,
        typer.Option(
            help="Device that computes the run; auto: a CUDA GPU if there is one; mps: an "
            "Apple GPU, untested."
        ),
    ] = "auto"
    devices: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that train the run together, one per GPU or, on a CPU, with --threads "
            "threads each; each computes an equal share of every batch.",
        ),
    ] = 1
    non_deterministic: Annotated[
        bool,
        typer.Option("--non-deterministic", help="Allow operations whose results vary."),
    ] = False
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Find the operation that makes a gradient NaN; slow."),
    ] = False
    pictures_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs between pictures of what the model makes of samples.",
            show_default="after the last epoch only",
        ),
    ] = None
    pictures_every_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps between such pictures.", show_default="none"),
    ] = None
    show: Annotated[
        str | None,
        typer.Option(
            metavar="3,17,42",
            help="Positions of the validation samples in these pictures.",
            show_default="the first ones",
        ),
    ] = None
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Show the record of a run that other code, libraries or another processor made; "
            "without this, the run is re-run.",
        ),
    ] = False
    log: WandbOptions = PLAIN
    offline: Offline = False

    @property
    def shown_samples(self) -> list[int] | None:
        """Returns the positions in `show`.

        Raises:
            InputError: if they are not whole numbers.
        """
        if self.show is None:
            return None
        parts = [part.strip() for part in self.show.split(",")]
        if not all(part.isdecimal() for part in parts):
            raise InputError(
                f"--show {self.show!r} is not a list of positions: write them as in --show 3,17,42"
            )
        return [int(part) for part in parts]

    @property
    def budget(self) -> dict[str, int]:
        """Returns the fields of the budget that the user gave, by name."""
        fields = ("epochs", "train_samples", "validation_samples", "test_samples")
        return {name: value for name in fields if (value := getattr(self, name)) is not None}
