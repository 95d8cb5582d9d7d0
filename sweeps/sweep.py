"""The sweep: all the studies and finals of the chosen cells, through one engine."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, wait
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from rich.console import Console

from benchmarks import interrupts, profiles
from benchmarks.datasets.dataset import DataSource
from benchmarks.profiles import ProfileName
from benchmarks.records.errors import InputError, RunHeldError
from benchmarks.records.folders import RunFolder
from benchmarks.records.ledger import Planned
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec
from models import registry
from sweeps import engines, matrix, options, plan, run_counts, space, start_points, studies
from sweeps.cell import Cell
from sweeps.cell_specs import CellSpecs
from sweeps.deadlines import Deadlines
from sweeps.engines import Engine, Inline, Job, SlurmJobs, WorkerContext
from sweeps.options import LOCK, STOP, Addition, Device, EngineName
from sweeps.placement import Placement, place_runs
from sweeps.progress import Progress
from sweeps.report_process import ReportProcess
from sweeps.retry import RunsToRetry, Selection

ATTEMPTS = 3
"""How often a run is begun whose worker died and that has come no further since, before it is
recorded as failed."""

REPORT_SECONDS = 10.0
"""The report's process starts when so much time is left: it takes a part of it to start."""

_TICK = 0.5


def sweep(
    choice: options.Options,
    results: Path,
    report: ReportProcess | None = None,
    *,
    adding: Addition | None = None,
    retried: Selection | None = None,
) -> list[Cell]:
    """Makes all runs that remain of a sweep.

    Args:
        choice: the options of the sweep.
        results: the results folder.
        report: is prepared when the end is near.
        adding: what is added to the plans of the cells, once.
        retried: which ended runs are re-run.

    Returns:
        The cells of the sweep.

    Raises:
        InputError: if the options do not fit the results folder, or it cannot be written.
        Interrupted: if the process was asked to leave, after each run has written a checkpoint.
        KeyboardInterrupt: at a second Ctrl-C. Whatever is raised, finished runs are kept.
    """
    choice.log.require_login()
    _require_names(choice)
    points = _start_points(choice)
    placement = place_runs(choice, results)
    choice = choice.model_copy(update={"device": Device(placement.device)})
    with _alone(results), studies.open_storage(results, choice.storage) as storage:
        (results / STOP).unlink(missing_ok=True)  # asked of the driver before
        choice = _with_stored_plan(choice, results)
        if retried is not None:
            RunsToRetry(results, retried, choice.studies()).set_aside()
        cells = _cells(choice, results, storage, points, adding or Addition())
        if adding is not None:
            plan = {cell.study: cell.plan for cell in cells}
            choice = choice.model_copy(update={"plan": plan, "adding": adding})
        choice.save(results)  # before the ledgers: a plan that was added to twice would be wrong
        for cell in cells:
            cell.write_ledger()
        _announce(choice, cells, points, placement)
        with Progress(cells, results) as progress, interrupts.grace_period(interrupts.DRIVER_GRACE):
            _Driver(cells, choice, results, progress, report, placement).drive()
        choice.model_copy(update={"plan": {}, "adding": None}).save(results)
        return cells


def _with_stored_plan(choice: options.Options, results: Path) -> options.Options:
    """Takes over an addition that was interrupted; the command line does not know of it."""
    try:
        stored = options.load_options(results)
    except InputError:
        return choice
    return choice.model_copy(update={"plan": stored.plan, "adding": stored.adding})


def show_plan(choice: options.Options) -> None:
    """Prints what a sweep would do and about how long it would take; writes nothing.

    Raises InputError as `sweep` does for names and start points.
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
    """Prints the plan of what remains of a sweep whose runs are long."""
    remaining = [(cell.variant, cell.dataset) for cell in cells if not cell.done]
    if choice.profile is ProfileName.published and remaining:
        plan.print_plan(choice, remaining, points, placement, Console(stderr=True))


@contextmanager
def _alone(results: Path) -> Iterator[None]:
    """One driver a results folder: two would disturb each other's studies."""
    lock = FileLock(results / LOCK, timeout=0)
    try:
        (results / "cells").mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another sweep is at work in {results}: wait for it, stop it, or choose another "
            "--results folder"
        ) from None
    except (NotADirectoryError, FileExistsError, PermissionError) as error:
        raise InputError(
            f"{results} cannot hold results ({error.strerror}): choose another --results folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _require_names(choice: options.Options) -> None:
    """Raises InputError where the pattern of run names gives none for a chosen variant."""
    profile = profiles.load_profile(choice.profile)
    for variant, dataset in matrix.choose_cells(choice.only):
        config = registry.variant(variant).Config()
        spec = RunSpec(
            variant=variant,
            dataset=dataset,
            role="trial",
            hyperparameters=config.model_dump(mode="json"),
            seed=0,
            budget=profile.budgets[registry.available()[variant].task],
            data_sha256="",
        )
        choice.log.name_of(spec)


def _start_points(choice: options.Options) -> start_points.Points:
    """Checks the start points of the chosen cells. Raises InputError if one cannot be tried."""
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


def _source(choice: options.Options, profile: profiles.Profile) -> DataSource:
    return DataSource(choice.data, "none" if choice.offline else profile.download)


def _cells(
    choice: options.Options,
    results: Path,
    storage: optuna.storages.BaseStorage,
    points: start_points.Points,
    adding: Addition,
) -> list[Cell]:
    more = Planned(trials=adding.trials, finals=adding.finals)
    profile = profiles.load_profile(choice.profile)
    cells = []
    for variant, dataset in matrix.choose_cells(choice.only):
        start = points.get(f"{variant}/{dataset}", [])
        specs = CellSpecs(
            variant,
            dataset,
            profile=profile,
            source=_source(choice, profile),
            sampler=choice.sampler,
            device="cuda" if choice.device is Device.cuda else "cpu",
            precision=choice.precision,
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


class _Driver:
    def __init__(
        self,
        cells: list[Cell],
        choice: options.Options,
        results: Path,
        progress: Progress,
        report: ReportProcess | None,
        placement: Placement,
    ) -> None:
        self.cells, self.results, self.progress, self.report = cells, results, progress, report
        self.choice, self.placement = choice, placement
        # The driver has fetched what there is: workers that see it only read.
        self.source = DataSource(choice.data)
        self.context = WorkerContext(
            self.source,
            results,
            download=_source(choice, profiles.load_profile(choice.profile)).download,
            epoch_seconds=(
                None if choice.engine is EngineName.inline else 3600 * choice.epoch_hours
            ),
            log=choice.log,
        )
        self.deadlines = Deadlines(results, self.context.epoch_seconds)
        self.engine: Engine | None = None
        self.pending: dict[Future[RunRecord], tuple[Cell, Job]] = {}
        self.deaths: Counter[str] = Counter()
        self.steps: dict[str, int] = {}
        """By run id, the step of its checkpoint when its worker last died."""

    def drive(self) -> None:
        try:
            while not self._asked_to_leave() and (self._fill() or self.pending):
                self._store()  # while the workers are at work
                finished, _ = wait(self.pending, _TICK, return_when="FIRST_COMPLETED")
                for future in finished:
                    self._take(future)
                self._abandon_overdue()
                self.progress.update()
                if self.report is not None and self.progress.seconds_left() < REPORT_SECONDS:
                    self.report.prepare()
            self._store()
            interrupts.raise_if_requested()
            if self.report is not None:
                self.report.begin()  # while workers leave
        except KeyboardInterrupt:  # the second Ctrl-C
            if self.engine is not None:
                self.engine.kill()
            raise
        except BaseException:
            # What runs ends at its next checkpoint, and goes on from there another time.
            self._dismiss_workers()
            raise
        self._dismiss_workers()
        interrupts.raise_if_requested()

    def _dismiss_workers(self) -> None:
        if self.engine is not None:
            self.engine.shutdown(cancel_futures=True)

    def _asked_to_leave(self) -> bool:
        """By a signal, or by `capsbench stop`, here or on another machine."""
        if (self.results / STOP).exists():
            interrupts.request_stop()
        return interrupts.stop_requested()

    def _fill(self) -> bool:
        """Submits jobs until every worker has one. Says whether it submitted any."""
        submitted = False
        for cell in [cell for cell in self.cells if cell.held is None]:
            while len(self.pending) < self._workers() and (job := cell.next_job()) is not None:
                self._submit(cell, job)
                submitted = True
        return submitted

    def _store(self) -> None:
        for cell in self.cells:
            cell.store()

    def _workers(self) -> int:
        # One job waits for the first worker, or for the next one where all have left.
        return 1 if self.engine is None else max(1, self.engine.workers)

    def _submit(self, cell: Cell, job: Job) -> None:
        if self.engine is None:
            # As late as that: where nothing remains to do, no worker is started.
            self.placement.announce()
            self.engine = engines.start_engine(
                self.choice.engine,
                self.placement.workers,
                devices=self.placement.devices,
                scheduler=self.choice.scheduler,
                needs_gpu=self.placement.device == "cuda",
                slurm=SlurmJobs(
                    self.choice.slurm,
                    profiles.load_profile(self.choice.profile).threads,
                    self.results,
                ),
            )
        if isinstance(self.engine, Inline):
            self._store()  # this job may take hours
        self.progress.begin(cell, job)
        self.deadlines.begin(job.spec.run_id)
        self.pending[self.engine.begin(job, self.context)] = (cell, job)

    def _take(self, future: Future[RunRecord]) -> None:
        cell, job = self.pending.pop(future)
        self.deadlines.end(job.spec.run_id)
        try:
            record = future.result()
        except BrokenExecutor:
            self._count_death(job.spec.run_id)
            if self.deaths[job.spec.run_id] < ATTEMPTS:
                cell.count_retry()
                self.progress.retry(job)
                self._submit(cell, job)
                return
            record = self._give_up(job)
        except RunHeldError as error:
            cell.held = str(error)
            self.progress.hold(cell, job)
            return
        except (InputError, OSError):
            raise
        except Exception as error:
            # It is this run's, and costs no other.
            reason = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
            record = self._failed(job, reason, "".join(traceback.format_exception(error)))
        cell.take_record(record)
        self.progress.end(cell, job, record)

    def _count_death(self, run_id: str) -> None:
        """Counts a worker's death; those of a run count anew where it has come further since."""
        from benchmarks.runs.checkpoints import Checkpoints

        step = Checkpoints(RunFolder(self.results, run_id).path).step()
        if step > self.steps.get(run_id, step):
            self.deaths[run_id] = 0  # such as a long run on short Slurm jobs
        self.steps[run_id] = step
        self.deaths[run_id] += 1

    def _abandon_overdue(self) -> None:
        """Gives up workers whose runs show no sign of life; their runs are begun again."""
        if self.engine is None:
            return
        overdue = self.deadlines.overdue(remote=self.engine.remote)
        for future, (_, job) in self.pending.items():
            if job.spec.run_id in overdue:
                self.deadlines.end(job.spec.run_id)
                self.engine.abandon(future)

    def _give_up(self, job: Job) -> RunRecord:
        from sweeps import watchdog

        hung = watchdog.read_hang(self.results, job.spec.run_id)
        limit = f"no epoch ended within {self.choice.epoch_hours:g} h"
        why = f", at last as {limit}" if hung else f" (out of memory, killed, or {limit})"
        return self._failed(job, f"its worker died {ATTEMPTS} times{why}", hung)

    def _failed(self, job: Job, reason: str, trace: str | None) -> RunRecord:
        """Records a run as failed on behalf of its worker."""
        from benchmarks.runs.run import give_up

        return give_up(
            job.spec,
            results=self.results,
            study=job.study,
            reason=reason,
            traceback=trace,
            log=job.shown(self.choice.log),
        )
