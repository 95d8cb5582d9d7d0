"""Plans a sweep for `--dry-run`: the runs of each cell, and an estimate of their time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from benchmarks import datasets
from benchmarks.commands.cli import duration
from benchmarks.records.spec import Budget, Role
from benchmarks.specs import profiles
from benchmarks.specs.profiles import Profile
from models import registry
from sweeps.cells import run_counts
from sweeps.estimates import run_times
from sweeps.options import Options
from sweeps.placement import Placement
from sweeps.studies.start_points import Points

ROLES: tuple[Role, Role] = ("trial", "final")

NOTE = (
    "Estimated from the processor time of one training step and one forward pass per cell at the "
    "recipe's sizes, spread evenly over the threads; a busy machine takes longer. Included: "
    "training and validation; for a final, the tests before and after training; for autoencoding, "
    "the training samples that are encoded for each fit of probes. Not included: pruning, which "
    "saves time; starting a run, generating its data and fitting the probes, which take time."
)


@dataclass(frozen=True)
class PlannedCell:
    """Holds the plan of one cell."""

    variant: str
    dataset: str
    trials: int
    finals: int
    bases: int
    """The number of runs of the variant that this variant is built on."""
    budget: Budget
    """The budget of a trial; without trials, the budget of a final."""
    samples: int
    """The number of training samples per epoch."""
    batch: int
    """The number of samples per batch."""
    seconds: float
    """How long all runs of the cell take one after the other, in seconds."""


def plan_cells(
    choice: Options, cells: Iterable[tuple[str, str]], points: Points, device: str
) -> Iterable[PlannedCell]:
    """Plans cells one after the other, and measures the time of their steps; no data is needed.

    Args:
        choice: the options of the sweep.
        cells: pairs of the variant's and the dataset's name.
        points: by cell, the points that its study tries after the recipe.
        device: the device on which steps are timed, cpu or cuda.

    Yields:
        The plan of each cell.
    """
    profile = profiles.load_profile(choice.profile)
    for variant, dataset in cells:
        start = points.get(f"{variant}/{dataset}", [])
        yield _row(choice, profile, variant, dataset, start, device)


def _row(
    choice: Options,
    profile: Profile,
    variant: str,
    dataset: str,
    start: Sequence[Mapping[str, JsonValue]],
    device: str,
) -> PlannedCell:
    chosen = run_times.cell_space(variant, choice, dataset)
    trials = run_counts.count_trials(choice, profile, chosen, start)
    finals = choice.finals_asked(profile)
    trial, final = (chosen.budget(profile, role) for role in ROLES)
    runs = trials * chosen.configuration.sampled_by(choice.sampler).seeds
    seconds = runs * run_times.run_seconds(variant, dataset, choice, trial, device, tested=False)
    seconds += finals * run_times.run_seconds(variant, dataset, choice, final, device, tested=True)
    base_variant = registry.variant(variant).base_variant
    bases = (
        []
        if base_variant is None
        else run_times.base_budgets(base_variant, dataset, choice, trials, finals)
    )
    for budget in bases:
        assert base_variant is not None
        seconds += run_times.run_seconds(
            base_variant, dataset, choice, budget, device, tested=False
        )
    shown = trial if trials else final
    task = registry.available()[variant].task
    return PlannedCell(
        variant,
        dataset,
        trials,
        finals,
        len(bases),
        shown,
        datasets.find(dataset).sizes_of(task, shown).train,
        run_times.recipe_config(variant, chosen).batch_size,
        seconds,
    )


def print_plan(
    choice: Options,
    cells: list[tuple[str, str]],
    points: Points,
    placement: Placement,
    console: Console,
) -> None:
    """Prints the plan of cells, and the estimated time of all of them.

    Args:
        choice: the options of the sweep.
        cells: pairs of the variant's and the dataset's name.
        points: by cell, the points that its study tries after the recipe.
        placement: the device and the number of workers.
        console: where the plan is printed.
    """
    # The GPUs may belong to workers on other machines.
    absent = placement.device == "cuda" and not torch.cuda.is_available()
    device = "cpu" if absent else placement.device
    if absent:
        console.print("Timed on the CPU: the workers have GPUs, but this machine has none.")
    with console.status("timing a training step of each cell"):
        planned = list(plan_cells(choice, cells, points, device))
    console.print(_table(choice, planned))
    alone = sum(row.seconds for row in planned)
    threads = profiles.load_profile(choice.profile).threads
    counted = "1 cell" if len(planned) == 1 else f"{len(planned)} cells"
    summary = (
        f"{counted}: {duration(alone)} with one worker of {threads} thread{'s' * (threads > 1)}"
    )
    workers = choice.workers or placement.workers
    if workers > 1:
        spread = duration(alone / workers)
        summary += f"; at least {spread} with {workers}, if they do not slow each other down"
    console.print(f"{summary}.\n{NOTE}")


def _table(choice: Options, planned: list[PlannedCell]) -> Table:
    table = Table(
        title=f"Plan of profile {choice.profile.value}",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
        title_justify="left",
    )
    based = any(row.bases for row in planned)
    table.add_column("cell", no_wrap=True)
    numbers = ("trials", "finals", *(["bases"] if based else []), "epochs", "samples", "batch")
    for heading in (*numbers, "hours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in planned:
        counts = [row.trials or "none", row.finals, *([row.bases or ""] if based else [])]
        sizes = [row.budget.epochs, f"{row.samples:,}", row.batch, _hours(row.seconds)]
        table.add_row(f"{row.variant}/{row.dataset}", *map(str, (*counts, *sizes)))
    return table


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return "<0.01" if hours < 0.01 else f"{hours:,.0f}" if hours >= 10 else f"{hours:.2f}"
