"""The options of a single run, from which its spec is made. Importing this is cheap."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, ConfigDict

from benchmarks.cli import Offline
from benchmarks.profiles import ProfileName
from benchmarks.wandb_options import PLAIN, WandbOptions

Where = Literal["cpu", "cuda"]


class RunOptions(BaseModel):
    """The options of `python -m benchmarks run`. None: the profile's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[ProfileName, typer.Option(help="How much the run may spend.")] = (
        ProfileName.quick
    )
    hyperparameters: dict[str, Any] = {}
    base: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID",
            help="The run whose trained model the variant needs (ocae: a run of pcae).",
            show_default="one is trained",
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Where all randomness starts from.")] = 0
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the profile's.")] = None
    train_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Training samples per epoch, instead of the profile's."),
    ] = None
    validation_samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Validation samples: 10 or more, and of still images at most a fifth of the "
            "training data. 0: none, only with --final.",
        ),
    ] = None
    final: Annotated[
        bool, typer.Option("--final", help="Score it on test data too: once, at the end.")
    ] = False
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed.")] = "32-true"
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; they decide bits.", show_default="profile's")
    ] = None
    device: Annotated[Where, typer.Option(help="Where the run is computed.")] = "cpu"
    non_deterministic: Annotated[
        bool, typer.Option("--non-deterministic", help="Allow operations that differ by run.")
    ] = False
    debug: Annotated[
        bool, typer.Option("--debug", help="Autograd's anomaly detection: slow, for NaN.")
    ] = False
    log: WandbOptions = PLAIN
    offline: Offline = False

    @property
    def budget(self) -> dict[str, int]:
        """The fields of the budget that are not the profile's."""
        fields = ("epochs", "train_samples", "validation_samples")
        return {name: value for name in fields if (value := getattr(self, name)) is not None}
