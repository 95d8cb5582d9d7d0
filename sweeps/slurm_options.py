"""Defines what a sweep requests from Slurm for each worker. Importing this is fast."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PANEL = "Slurm (--engine slurm); --workers is the largest number of jobs at the same time"

_TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}", re.ASCII)
_MEMORY = re.compile(r"\d+ ?[KMGT]i?B", re.ASCII)


def _fitting(text: str, pattern: re.Pattern[str], what: str, examples: str) -> str:
    """Returns a text that fits a pattern. Raises ValueError for another, with examples."""
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no {what}: write one such as {examples}")
    return text


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
        AfterValidator(lambda text: _fitting(text, _TIME, "time limit", "04:00:00 or 1-12:00:00")),
        typer.Option(
            "--slurm-time",
            help="Time limit of a job, in sbatch's form; a job that reaches it is replaced.",
            rich_help_panel=PANEL,
        ),
    ] = "04:00:00"
    memory: Annotated[
        str,
        AfterValidator(lambda text: _fitting(text, _MEMORY, "size of memory", "8GB or 500 MiB")),
        typer.Option("--slurm-memory", help="Memory per job, as 8GB.", rich_help_panel=PANEL),
    ] = "8GB"
    devices: Annotated[
        int,
        Field(ge=0, le=1),
        typer.Option(
            "--slurm-devices", min=0, max=1, help="GPUs per job, 0 or 1.", rich_help_panel=PANEL
        ),
    ] = 0
