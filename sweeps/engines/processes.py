"""Defines the engine of local worker processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, TypeVar

from benchmarks import interrupts
from sweeps import worker_server
from sweeps.engines.base import Engine
from sweeps.engines.devices import gpu_environment

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_SECONDS = 1.0


class Processes(Engine):
    """Executes runs in local worker processes.

    Each worker is a pool of its own, so that the death of a worker affects only its own run. At
    most one run per worker may be submitted at the same time.

    Args:
        workers: the number of workers.
        devices: the GPUs that the workers get in turn; each worker sees one.
    """

    def __init__(self, workers: int, devices: Sequence[str] = ()) -> None:
        self._idle = [_Pool(gpu_environment(worker, devices)) for worker in range(workers)]
        self._busy: dict[Future[Any], _Pool] = {}

    @property
    def workers(self) -> int:
        return len(self._idle) + len(self._busy)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        # Not in a callback of the future: a waiting driver may continue before callbacks run.
        for ended in [future for future in self._busy if future.done()]:
            pool = self._busy.pop(ended)
            died = isinstance(ended.exception(), BrokenProcessPool)
            self._idle.append(_Pool(pool.environment) if died else pool)
        pool = self._idle.pop()
        try:
            future = pool.submit(fn, *args, **kwargs)
        except (BrokenProcessPool, EOFError, ConnectionError):
            # The worker, or the server that it is forked from, died while it was idle.
            pool = _Pool(pool.environment)
            future = pool.submit(fn, *args, **kwargs)
        self._busy[future] = pool
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers.

        Args:
            wait: whether to wait until the workers have ended.
            cancel_futures: whether running runs end at their next checkpoint, too.
        """
        if cancel_futures:
            _dismiss(self._processes())
        for pool in self._pools():
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def abandon(self, future: Future[Any]) -> None:
        for process in self._busy[future].processes():
            process.kill()  # also ends a process that is stopped

    def kill(self) -> None:
        """Ends the workers at once, without a checkpoint."""
        for process in self._processes():
            process.kill()

    def _pools(self) -> list[_Pool]:
        return [*self._idle, *self._busy.values()]

    def _processes(self) -> list[BaseProcess]:
        return [process for pool in self._pools() for process in pool.processes()]


def _dismiss(processes: list[BaseProcess]) -> None:
    """Asks workers to end; kills those that have not ended after the grace period or a Ctrl-C."""
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
    """Executes calls in one worker process, which has environment variables of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        super().__init__(
            1,
            mp_context=worker_server.process_context(has_gpu=bool(environment)),
            initializer=_begin_worker,
            initargs=({**os.environ, **environment},),
        )

    def processes(self) -> list[BaseProcess]:
        """Lists the process of this pool; empty before the first call and after its end.

        Python 3.14 alone has public methods that end processes. `_processes` is private; the tests
        of `abandon` and `kill` fail if Python changes it.
        """
        return [*(self._processes or {}).values()]


def _begin_worker(environment: dict[str, str]) -> None:
    """Prepares a worker process: environment, signals, logging, and its end with the driver."""
    os.environ.update(environment)
    # Ctrl-C reaches every process of a terminal; only the driver handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The driver has already logged the messages about the data.
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """Ends this worker when its driver or its server has been killed.

    A driver that resumes the sweep must not find its runs in progress. If the server was killed,
    the driver takes the worker for dead and retries its run.
    """
    driver, server = multiprocessing.parent_process(), os.getppid()
    assert driver is not None
    while os.getppid() == server and not wait([driver.sentinel], _LOOK_SECONDS):
        pass
    os._exit(1)
