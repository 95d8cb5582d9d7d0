"""Where runs are made: `concurrent.futures` executors, and nothing else.

A worker gets a `Job` and returns a record; it never opens a study. A run whose worker died ends
with `BrokenExecutor`, whatever the engine.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks import interrupts
from benchmarks.datasets.dataset import DataSource, Download
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec, Stop
from benchmarks.wandb_options import PLAIN, WandbOptions
from sweeps import worker_server
from sweeps.options import EngineName

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_SECONDS = 1.0


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


def execute(job: Job, site: WorkerContext) -> RunRecord:
    """What a worker does with a job. Asked to leave, a worker process ends at a checkpoint."""
    # Here, so that a driver starts without Lightning.
    from benchmarks.runs.run import run
    from sweeps import watchdog

    how: dict[str, Any] = {
        "source": site.source,
        "results": site.results,
        "study": job.study,
        "stop": job.stop,
        "log": job.shown(site.log),
        "keep": True,  # a sweep says what was made under other conditions, and goes on with it
    }
    try:
        if site.epoch_seconds is None:
            return run(job.spec, **how)
        place = watchdog.place(site.results, job.spec.run_id)
        with watchdog.Watchdog(site.epoch_seconds, place) as dog:
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

    def begin(self, job: Job, site: WorkerContext) -> Future[RunRecord]:
        """Gives a job to a worker. When it has ended, its files lie in the site's results."""
        return self.submit(execute, job, site)

    def kill(self) -> None:
        """Ends what runs at once, without a checkpoint; elsewhere, once the driver is missed."""


class Inline(Engine):
    """Makes each run where it is submitted, in this process: for debugging, and one at a time."""

    @property
    def workers(self) -> int:
        return 1

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(Engine):
    """Local worker processes, each a pool of its own: one that dies takes its own run with it.

    Takes as many runs at once as there are workers. Where there are GPUs, each worker sees one.
    """

    def __init__(self, workers: int, gpus: int = 0) -> None:
        self._idle = [_Pool(gpu_environment(worker, gpus)) for worker in range(workers)]
        self._busy: dict[Future[Any], _Pool] = {}

    @property
    def workers(self) -> int:
        return len(self._idle) + len(self._busy)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        # Here, and not in a callback: a waiting driver may wake before callbacks are called.
        for ended in [future for future in self._busy if future.done()]:
            pool = self._busy.pop(ended)
            died = isinstance(ended.exception(), BrokenProcessPool)
            self._idle.append(_Pool(pool.environment) if died else pool)
        pool = self._idle.pop()
        try:
            future = pool.submit(fn, *args, **kwargs)
        except (BrokenProcessPool, EOFError, ConnectionError):
            # It died while it was idle, or what it is forked from did.
            pool = _Pool(pool.environment)
            future = pool.submit(fn, *args, **kwargs)
        self._busy[future] = pool
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """With `cancel_futures` it ends what is running, too: at its next checkpoint."""
        if cancel_futures:
            _dismiss(self._processes())
        for pool in self._pools():
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """Ends the workers at once, without a checkpoint."""
        for process in self._processes():
            process.kill()

    def _pools(self) -> list[_Pool]:
        return [*self._idle, *self._busy.values()]

    def _processes(self) -> list[BaseProcess]:
        return [p for pool in self._pools() for p in (pool._processes or {}).values()]


def _dismiss(processes: list[BaseProcess]) -> None:
    """Asks workers to leave; kills what has not left when its grace is over, or at a Ctrl-C."""
    deadline = time.monotonic() + interrupts.GRACE + 0.5
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()


class _Pool(ProcessPoolExecutor):
    """One worker process, with variables of its own in its environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        super().__init__(
            1,
            mp_context=worker_server.context(has_gpu=bool(environment)),
            initializer=_begin_worker,
            initargs=({**os.environ, **environment},),
        )


def gpu_environment(worker: int, gpus: int) -> dict[str, str]:
    """The environment in which the n-th worker sees one GPU: its own, while there are enough."""
    return {"CUDA_VISIBLE_DEVICES": str(worker % gpus)} if gpus else {}


def start(
    engine: EngineName, workers: int, *, gpus: int = 0, scheduler: str | None = None
) -> Engine:
    """The executor of an engine. Raises InputError where `scheduler` does not answer."""
    match engine:
        case EngineName.inline:
            return Inline()
        case EngineName.processes:
            return Processes(workers, gpus)
        case EngineName.dask:
            from sweeps import cluster  # which takes its time

            return cluster.join(scheduler) if scheduler else cluster.local(workers, gpus)


def _begin_worker(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    # Ctrl-C reaches every process of a terminal: the driver alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # What there is to say of the data, the driver has said.
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """A worker whose driver was killed ends too, so that a resumed driver finds the field free.

    So does one whose server was killed: its driver takes it for dead, and begins its run again.
    """
    driver, server = multiprocessing.parent_process(), os.getppid()
    assert driver is not None
    while os.getppid() == server and not wait([driver.sentinel], _LOOK_SECONDS):
        pass
    os._exit(1)
