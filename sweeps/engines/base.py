"""Defines what all engines share: `Job`, `WorkerContext`, `Engine`, and `execute`.

A worker gets a `Job` and returns a record; it never opens a study. If a worker dies, the future of
its run raises `BrokenExecutor` with every engine.
"""

from __future__ import annotations

import multiprocessing
import os
from abc import abstractmethod
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import interrupts
from benchmarks.datasets.dataset import DataSource, Download
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec, Stop
from benchmarks.wandb_options import PLAIN, WandbOptions


@dataclass(frozen=True)
class Job:
    """Holds a run that a worker shall make."""

    spec: RunSpec
    study: str
    """The name of the study that the run belongs to."""
    stop: Stop | None = None
    """Decides after each epoch whether the run is pruned; None: it never is."""

    def shown(self, log: WandbOptions) -> WandbOptions:
        """Returns how W&B shows this run.

        Args:
            log: how W&B shows the runs of the sweep.
        """
        return log.of_base() if self.spec.role == "base" else log


@dataclass(frozen=True)
class WorkerContext:
    """Holds where a worker finds data and results, and its time limit."""

    source: DataSource
    results: Path
    """The results folder of the driver."""
    download: Download = "none"
    """What a worker without the driver's data may download, as in `DataSource`."""
    epoch_seconds: float | None = None
    """The time limit from epoch to epoch, in seconds. None: no limit, as for the engine `inline`,
    where the limit would end the driver."""
    log: WandbOptions = PLAIN
    """How W&B shows the runs."""


def execute(job: Job, context: WorkerContext) -> RunRecord:
    """Makes a run in a worker. If it is asked to stop, a worker process ends after a checkpoint.

    Args:
        job: the run.
        context: where the worker finds data and results.

    Returns:
        The record of the run.

    Raises:
        InputError: if the data or a stored record cannot be used, or another process makes the run.
        OSError: if a file cannot be written.
        Interrupted: if this process is no worker process and was asked to stop.
    """
    # Imported here, so that a driver starts without Lightning.
    from benchmarks.runs.run import run
    from sweeps import watchdog

    how: dict[str, Any] = {
        "source": context.source,
        "results": context.results,
        "study": job.study,
        "stop": job.stop,
        "keep": True,  # a sweep reports runs that were made under other conditions, and keeps them
        "log": job.shown(context.log),
    }
    try:
        if context.epoch_seconds is None:
            return run(job.spec, **how)
        place = watchdog.hang_file(context.results, job.spec.run_id)
        with watchdog.Watchdog(context.epoch_seconds, place) as dog:
            return run(job.spec, callbacks=[dog], **how)
    except interrupts.Interrupted as leave:
        if multiprocessing.parent_process() is None:
            raise
        os._exit(leave.exit_code)


class Engine(Executor):
    """Executes runs, and knows how many it can execute at the same time."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """Counts the runs that can be executed at the same time; workers may join and leave."""

    @property
    def remote(self) -> bool:
        """Returns whether workers may be on machines without access to the results folder."""
        return False

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        """Gives a job to a worker.

        Args:
            job: the run.
            context: where the worker finds data and results.

        Returns:
            The future of the run's record. When it is done, the results folder of the context has
            the files of the run.
        """
        return self.submit(execute, job, context)

    def abandon(self, future: Future[Any]) -> None:
        """Ends the worker of a run that shows no progress.

        Args:
            future: the future of the run, which then raises `BrokenExecutor`.
        """

    def kill(self) -> None:
        """Ends all workers at once, without checkpoints.

        Workers on other machines end when they notice that the driver has gone.
        """
