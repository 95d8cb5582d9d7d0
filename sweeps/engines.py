"""Where runs are made: `concurrent.futures` executors, and nothing else.

A worker gets a `Job` and returns a record; it never opens a study.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import ParamSpec, TypeVar

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
    """What a worker does with a job."""
    return run(job.spec, source=source, results=results, study=job.study, stop=job.stop)


class Inline(Executor):
    """Makes each run where it is submitted, in this process: for debugging, and one at a time."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def start(engine: EngineName, workers: int) -> Executor:
    """The executor of an engine."""
    if engine is EngineName.inline:
        return Inline()
    keep_freed_memory()
    return ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )


def kill(executor: Executor) -> None:
    """Ends an executor and what it runs at once; runs go on from their checkpoints later."""
    if isinstance(executor, ProcessPoolExecutor):
        for process in list((executor._processes or {}).values()):
            process.kill()
    executor.shutdown(wait=True, cancel_futures=True)


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory in the processes started from here: fewer page faults."""
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"):
        os.environ.setdefault(name, str(256 * 2**20))


def _begin_worker() -> None:
    # Ctrl-C reaches every process of a terminal: the driver alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """A worker whose driver was killed ends too, so that a resumed driver finds the field free."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
