"""Where runs are made: `concurrent.futures` executors, and nothing else.

A worker gets a `Job` and returns a record; it never opens a study.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks import leaving
from benchmarks.allocator import keep_freed_memory
from benchmarks.protocol import DataSource
from benchmarks.run import run
from benchmarks.spec import RunRecord, RunSpec
from benchmarks.tracking import Stop
from sweeps.options import EngineName

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A run to make."""

    spec: RunSpec
    study: str
    stop: Stop | None = None


def execute(job: Job, source: DataSource, results: Path) -> RunRecord:
    """What a worker does with a job. Asked to leave, a worker process ends at a checkpoint."""
    try:
        return run(job.spec, source=source, results=results, study=job.study, stop=job.stop)
    except leaving.Leave as leave:
        if multiprocessing.parent_process() is None:
            raise
        os._exit(leave.exit_code)


class Inline(Executor):
    """Makes each run where it is submitted, in this process: for debugging, and one at a time."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """Local worker processes, each a pool of its own: one that dies takes its own run with it.

    Takes as many runs at once as there are workers. A run whose worker died ends with
    BrokenProcessPool.
    """

    def __init__(self, workers: int) -> None:
        keep_freed_memory()
        self._idle = [_pool() for _ in range(workers)]
        self._busy: dict[Future[Any], ProcessPoolExecutor] = {}

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        # Here, and not in a callback: a waiting driver may wake before callbacks are called.
        for ended in [future for future in self._busy if future.done()]:
            pool = self._busy.pop(ended)
            died = isinstance(ended.exception(), BrokenProcessPool)
            self._idle.append(_pool() if died else pool)
        pool = self._idle.pop()
        try:
            future = pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:  # it died while it was idle
            pool = _pool()
            future = pool.submit(fn, *args, **kwargs)
        self._busy[future] = pool
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """With `cancel_futures` it ends what is running, too: at its next checkpoint."""
        pools = [*self._idle, *self._busy.values()]
        if cancel_futures:
            _dismiss([p for pool in pools for p in (pool._processes or {}).values()])
        for pool in pools:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def _dismiss(processes: list[BaseProcess]) -> None:
    """Asks workers to leave; kills what has not left when its grace is over, or at a Ctrl-C."""
    deadline = time.monotonic() + leaving.GRACE + 0.5
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )


def start(engine: EngineName, workers: int) -> Executor:
    """The executor of an engine."""
    return Inline() if engine is EngineName.inline else Processes(workers)


def _begin_worker() -> None:
    # Ctrl-C reaches every process of a terminal: the driver alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What there is to say of the data, the driver has said.
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """A worker whose driver was killed ends too, so that a resumed driver finds the field free."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
