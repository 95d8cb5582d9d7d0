"""Runs a sweep: the studies and finals of the chosen cells, with one engine."""

from __future__ import annotations

from pathlib import Path

import optuna
from rich.console import Console

from benchmarks import interrupts, own_variants
from benchmarks.commands.cli import announced
from benchmarks.records.errors import InputError
from benchmarks.records.ledger import Planned
from benchmarks.records.spec import DeviceName
from benchmarks.specs import profiles
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.specification import Machine
from models import registry
from sweeps import matrix, options, plan
from sweeps.cells import run_counts
from sweeps.cells.cell import Cell
from sweeps.cells.cell_specs import CellSpecs
from sweeps.driver import Driver, data_source
from sweeps.driver_lock import STOP, locked
from sweeps.options import Addition, Device
from sweeps.placement import Placement, place_runs
from sweeps.progress import Progress
from sweeps.report_process import ReportProcess
from sweeps.retry import RunsToRetry, Selection
from sweeps.stored_options import load_options, save_options
from sweeps.studies import space, start_points, storages


def sweep(
    choice: options.Options,
    results: Path,
    report: ReportProcess | None = None,
    *,
    adding: Addition | None = None,
    retried: Selection | None = None,
) -> list[Cell]:
    """Makes all runs that remain of a sweep. Finished runs are kept whatever is raised.

    Args:
        choice: the options of the sweep.
        results: the results folder.
        report: builds the report; its process is started shortly before the end.
        adding: what is added to the plans of the cells, once.
        retried: which ended runs are re-run.

    Returns:
        The cells of the sweep.

    Raises:
        InputError: if the options do not fit the results folder, or it cannot be written.
        Interrupted: if the process was asked to stop, after each run has written a checkpoint.
        KeyboardInterrupt: at a second Ctrl-C.
    """
    choice.log.require_login()
    _require_names(choice)
    points = _start_points(choice)
    placement = place_runs(choice, results)
    choice = choice.model_copy(update={"device": Device(placement.device)})
    with locked(results), storages.open_storage(results, choice.storage) as storage:
        (results / STOP).unlink(missing_ok=True)  # it was meant for an earlier driver
        choice = _with_stored_plan(choice, results)
        if retried is not None:
            RunsToRetry(results, retried, choice.studies()).set_aside()
        with announced("reading the data and the studies"):
            cells = _cells(choice, results, storage, points, adding or Addition())
        if adding is not None:
            plan = {cell.study: cell.plan for cell in cells}
            choice = choice.model_copy(update={"plan": plan, "adding": adding})
        for sha256 in choice.variants.values():
            own_variants.provide(results, sha256)
        # Before the ledgers: otherwise the addition could be added twice after a crash.
        save_options(choice, results)
        for cell in cells:
            cell.write_ledger()
        _announce(choice, cells, points, placement)
        with Progress(cells, results) as progress, interrupts.grace_period(interrupts.DRIVER_GRACE):
            Driver(cells, choice, results, progress, report, placement).drive()
        save_options(choice.model_copy(update={"plan": {}, "adding": None}), results)
        return cells


def _with_stored_plan(choice: options.Options, results: Path) -> options.Options:
    """Adds an interrupted addition, which the command line does not have, to the options."""
    try:
        stored = load_options(results)
    except InputError:
        return choice
    return choice.model_copy(update={"plan": stored.plan, "adding": stored.adding})


def show_plan(choice: options.Options) -> None:
    """Prints what a sweep would do, and an estimate of its time; writes nothing.

    Args:
        choice: the options of the sweep.

    Raises:
        InputError: if the pattern of run names or a start point is wrong.
    """
    _require_names(choice)
    points = _start_points(choice)
    plan.print_plan(choice, matrix.choose_cells(choice.only), points, place_runs(choice), Console())


def _announce(
    choice: options.Options,
    cells: list[Cell],
    points: start_points.Points,
    placement: Placement,
) -> None:
    """Prints the plan of the remaining cells if the profile is `published`, whose runs are long."""
    remaining = [(cell.variant, cell.dataset) for cell in cells if not cell.done]
    if choice.profile is ProfileName.published and remaining:
        plan.print_plan(choice, remaining, points, placement, Console(stderr=True))


def _require_names(choice: options.Options) -> None:
    """Checks that the pattern of W&B run names gives a name for each chosen variant.

    Raises:
        InputError: if it does not.
    """
    for variant, dataset in matrix.choose_cells(choice.only):
        config = registry.variant(variant).Config().model_dump(mode="json")
        choice.log.require_name(variant, dataset, choice.profile.value, config)


def _start_points(choice: options.Options) -> start_points.Points:
    """Checks the start points of the chosen cells, and returns them by cell.

    Raises:
        InputError: if a point cannot be tried, or the sweep has no trials.
    """
    if choice.start and not choice.trials_asked(profiles.load_profile(choice.profile)):
        raise InputError(
            "--start names points for a search, and "
            + ("--trials 0" if choice.trials == 0 else f"profile {choice.profile.value}")
            + " plans none: leave --start out, or give --trials 1 or more"
        )
    found: start_points.Points = {}
    for variant, dataset in matrix.choose_cells(choice.only):
        cell = f"{variant}/{dataset}"
        if cell in choice.start:
            chosen = space.load_space(
                variant,
                registry.variant(variant),
                choice.profile,
                dataset=dataset,
                changes=choice.changes_of(variant),
            )
            found[cell] = start_points.check_start_points(chosen, choice.start[cell], cell)
    return found


def _cells(
    choice: options.Options,
    results: Path,
    storage: optuna.storages.BaseStorage,
    points: start_points.Points,
    adding: Addition,
) -> list[Cell]:
    more = Planned(trials=adding.trials, finals=adding.finals)
    device: DeviceName = "cuda" if choice.device is Device.cuda else "cpu"
    machine = Machine(device=device, precision=choice.precision)
    profile = profiles.load_profile(choice.profile)
    cells = []
    for variant, dataset in matrix.choose_cells(choice.only):
        start = points.get(f"{variant}/{dataset}", [])
        specs = CellSpecs(
            variant,
            dataset,
            profile=profile,
            source=data_source(choice, profile),
            machine=machine,
            sampler=choice.sampler,
            start=start,
            changes=choice.changes_of,
        )
        grown = choice.plan.get(specs.study, Planned())
        planned = Planned(
            trials=max(run_counts.count_trials(choice, profile, specs.space, start), grown.trials),
            finals=max(choice.finals_asked(profile), grown.finals),
        )
        cells.append(Cell(specs, planned, results=results, storage=storage, more=more))
    return cells
