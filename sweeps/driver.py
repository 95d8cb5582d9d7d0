"""Drives a sweep: gives the jobs of its cells to the workers of an engine, takes their records."""

from __future__ import annotations

import traceback
from collections import Counter
from concurrent.futures import BrokenExecutor, Future, wait
from pathlib import Path

from benchmarks import interrupts
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError, RunHeldError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.specs import profiles
from sweeps import engines, options
from sweeps.cells.cell import Cell
from sweeps.deadlines import Deadlines
from sweeps.driver_lock import STOP
from sweeps.engines import Engine, Inline, Job, SlurmJobs, WorkerContext
from sweeps.options import EngineName
from sweeps.placement import Placement
from sweeps.progress import Progress
from sweeps.report_process import ReportProcess

ATTEMPTS = 3
"""How often a run is tried whose worker dies each time without a later checkpoint; then it is
recorded as failed."""

REPORT_SECONDS = 10.0
"""The process that builds the report starts when this time remains: its imports are slow."""

_TICK = 0.5
"""Seconds between two looks at signals, deadlines and the progress."""


def data_source(choice: options.Options, profile: profiles.Profile) -> DataSource:
    """Returns where the data of a sweep is, and what may be downloaded.

    Args:
        choice: the options of the sweep.
        profile: the profile of the sweep.
    """
    return DataSource(choice.data, "none" if choice.offline else profile.download)


class Driver:
    """Gives the jobs of all cells to the workers of one engine, and takes their records."""

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
        # The driver has downloaded the data; workers that can access it only read.
        self.source = DataSource(choice.data)
        self.context = WorkerContext(
            self.source,
            results,
            download=data_source(choice, profiles.load_profile(choice.profile)).download,
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
        """By run id, the step of its last checkpoint when its worker last died."""

    def drive(self) -> None:
        """Makes all runs that remain."""
        try:
            while not self._asked_to_leave() and (self._fill() or self.pending):
                self._store()  # now, while the workers compute
                finished, _ = wait(self.pending, _TICK, return_when="FIRST_COMPLETED")
                for future in finished:
                    self._take(future)
                self._abandon_overdue()
                self.progress.update()
                if self.report is not None and self.progress.ends_within(REPORT_SECONDS):
                    self.report.prepare()
            self._store()
            interrupts.raise_if_requested()
            if self.report is not None:
                self.report.begin()  # now, while the workers end
        except KeyboardInterrupt:  # the second Ctrl-C
            if self.engine is not None:
                self.engine.kill()
            raise
        except BaseException:
            # Running jobs end at their next checkpoint, from which a later sweep resumes them.
            self._dismiss_workers()
            raise
        self._dismiss_workers()
        interrupts.raise_if_requested()

    def _dismiss_workers(self) -> None:
        if self.engine is not None:
            self.engine.shutdown(cancel_futures=True)

    def _asked_to_leave(self) -> bool:
        """Returns whether a signal, or `capsbench stop` on any machine, asked to stop."""
        if (self.results / STOP).exists():
            interrupts.request_stop()
        return interrupts.stop_requested()

    def _fill(self) -> bool:
        """Submits jobs until every worker has one; returns whether it submitted any."""
        submitted = False
        self.progress.workers = self._workers()
        for cell in [cell for cell in self.cells if cell.held is None]:
            while len(self.pending) < self._workers() and (job := cell.next_job()) is not None:
                self._submit(cell, job)
                submitted = True
        return submitted

    def _store(self) -> None:
        for cell in self.cells:
            cell.store()

    def _workers(self) -> int:
        # Without workers, one job waits for the first one, or for the next after all have left.
        return 1 if self.engine is None else max(1, self.engine.workers)

    def _submit(self, cell: Cell, job: Job) -> None:
        if self.engine is None:
            # Not earlier, because a sweep with nothing left to do needs no worker.
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
            self._store()  # before a job that may take hours
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
            # The error belongs to this run, and the others go on.
            reason = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
            record = self._failed(job, reason, "".join(traceback.format_exception(error)))
        cell.take_record(record)
        self.progress.end(cell, job, record)

    def _count_death(self, run_id: str) -> None:
        """Counts the death of a run's worker; restarts at 1 if the run has a later checkpoint."""
        from benchmarks.runs.checkpoints import Checkpoints

        step = Checkpoints(RunFolder(self.results, run_id).path).step()
        if step > self.steps.get(run_id, step):
            self.deaths[run_id] = 0  # for instance, a long run needs several short Slurm jobs
        self.steps[run_id] = step
        self.deaths[run_id] += 1

    def _abandon_overdue(self) -> None:
        """Abandons workers whose runs show no progress for too long; the runs are retried."""
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
