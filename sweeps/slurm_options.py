"""Defines what a sweep requests from Slurm for each worker. Importing this is fast."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field

PANEL = "Slurm (--engine slurm); --workers is the largest number of jobs at the same time"


class SlurmOptions(BaseModel):
    """Holds what each Slurm job of a sweep requests; each job is one worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Annotated[
        str | None,
        typer.Option(
            "--slurm-partition", help="Partition.", show_default="default", rich_help_panel=PANEL
        ),
    ] = None
    account: Annotated[
        str | None,
        typer.Option(
            "--slurm-account", help="Account.", show_default="your own", rich_help_panel=PANEL
        ),
    ] = None
    time: Annotated[
        str,
        Field(pattern=r"^(\d+-)?\d+(:\d\d){0,2}$"),
        typer.Option(
            "--slurm-time",
            help="Time limit of a job, in sbatch's form; a job that reaches it is replaced.",
            rich_help_panel=PANEL,
        ),
    ] = "04:00:00"
    memory: Annotated[
        str,
        Field(pattern=r"^\d+ ?[KMGT]i?B$"),
        typer.Option("--slurm-memory", help="Memory per job, as 8GB.", rich_help_panel=PANEL),
    ] = "8GB"
    devices: Annotated[
        int,
        Field(ge=0, le=1),
        typer.Option(
            "--slurm-devices", min=0, max=1, help="GPUs per job, 0 or 1.", rich_help_panel=PANEL
        ),
    ] = 0
