"""What every engine has in common: `Job`, `WorkerContext`, `Engine`, and how a worker makes a run.

A worker gets a `Job` and returns a record; it never opens a study. A run whose worker died ends
with `BrokenExecutor`, whatever the engine.
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
    """A run to make."""

    spec: RunSpec
    study: str
    stop: Stop | None = None

    def shown(self, log: WandbOptions) -> WandbOptions:
        """How the sweep's runs are shown, for this one."""
        return log.of_base() if self.spec.role == "base" else log


@dataclass(frozen=True)
class WorkerContext:
    """Where a worker finds what it needs, and how long it may take from epoch to epoch."""

    source: DataSource
    results: Path
    download: Download = "none"
    """What a worker may fetch that sees no data, as `DataSource` has it."""
    epoch_seconds: float | None = None
    """None: for ever. A process that isn't a worker's has no limit: it would end the driver."""
    log: WandbOptions = PLAIN


def execute(job: Job, context: WorkerContext) -> RunRecord:
    """What a worker does with a job. Asked to leave, a worker process ends at a checkpoint."""
    # Here, so that a driver starts without Lightning.
    from benchmarks.runs.run import run
    from sweeps import watchdog

    how: dict[str, Any] = {
        "source": context.source,
        "results": context.results,
        "study": job.study,
        "stop": job.stop,
        "keep": True,  # a sweep says what was made under other conditions, and goes on with it
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
    """An executor that knows how many runs it can make at once."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """As many runs as may be begun at this moment; workers may join and leave."""

    @property
    def remote(self) -> bool:
        """Says whether workers may be where they do not see the driver's results folder."""
        return False

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        """Gives a job to a worker. When it has ended, its files lie in the context's results."""
        return self.submit(execute, job, context)

    def abandon(self, future: Future[Any]) -> None:
        """Ends the worker of a run that does not come back: the run ends with `BrokenExecutor`."""

    def kill(self) -> None:
        """Ends what runs at once, without a checkpoint; elsewhere, once the driver is missed."""
