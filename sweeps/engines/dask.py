"""Defines the Dask engine, for workers on this machine or the workers of a scheduler."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar

import distributed
from distributed import Client, KilledWorker, Nanny, Scheduler, SpecCluster

from benchmarks.records.atomic_files import token_of
from benchmarks.records.errors import InputError, SweepStoppedError
from benchmarks.records.record import RunRecord
from benchmarks.speed.allocator import keep_freed_memory
from sweeps.engines.base import Engine, Job, WorkerContext
from sweeps.engines.cluster_workers import (
    RESOURCE,
    START,
    ClusterWorker,
    ClusterWorkers,
    submit_to_worker,
)
from sweeps.engines.devices import gpu_environment
from sweeps.engines.remote import RemoteJob, make_remote_run, store_result

JOIN_SECONDS = 15
"""Seconds that a scheduler may take to answer."""

FIRST_WORKER_SECONDS = 30.0
"""Seconds that `--device auto` waits for a first worker, which may be started with the sweep."""

INTRODUCTION_SECONDS = 120.0
"""Seconds that a worker may take to import PyTorch and look for a GPU."""

_QUIET = logging.CRITICAL
"""The log level of Dask; the driver reports failures itself."""

_CLOSE_SECONDS = 10
_LOOK_SECONDS = 0.5

P = ParamSpec("P")
T = TypeVar("T")


def start_local_cluster(workers: int, devices: Sequence[str] = ()) -> Engine:
    """Starts a Dask cluster on this machine, which ends with the engine.

    Args:
        workers: the number of workers.
        devices: the GPUs that the workers get in turn.

    Returns:
        The engine.
    """
    keep_freed_memory()
    count_no_failures()
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    common = {"nthreads": 1, "resources": {RESOURCE: 1}, "memory_limit": 0}
    common |= {"host": "127.0.0.1", "silence_logs": _QUIET, **quiet}
    cluster = SpecCluster(
        scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", **quiet}},
        workers={
            worker: {"cls": Nanny, "options": {**common, "env": gpu_environment(worker, devices)}}
            for worker in range(workers)
        },
        silence_logs=_QUIET,
    )
    client = Client(cluster, set_as_default=False)
    return Dask(client, ClusterWorkers(client, trusted=True), cluster)


def count_no_failures() -> None:
    """Makes the schedulers of this process report the first death of a worker.

    The driver counts deaths itself; by default Dask retries three times before it reports one.
    """
    import dask

    dask.config.set({"distributed.scheduler.allowed-failures": 0})


def join_cluster(address: str, *, needs_gpu: bool = False) -> Engine:
    """Joins the cluster of a scheduler that runs already.

    Args:
        address: the address of the scheduler.
        needs_gpu: whether only workers with a GPU are used.

    Returns:
        The engine; the scheduler and its workers outlive it.

    Raises:
        InputError: if no scheduler answers at the address.
    """
    client = _client(address)
    members = ClusterWorkers(client, needs_gpu=needs_gpu)
    if not client.scheduler_info(n_workers=-1)["workers"]:
        print(
            f"capsbench: no worker has joined {address} yet: start one with "
            f"{START.replace('ADDRESS', address)}",
            file=sys.stderr,
        )
    return Dask(client, members)


def choose_device(address: str) -> tuple[Literal["cpu", "cuda"], str]:
    """Chooses the device for `--device auto` from the current workers of a scheduler.

    Args:
        address: the address of the scheduler.

    Returns:
        `cuda` if a worker has a GPU, else `cpu`; and the reason in words.

    Raises:
        InputError: if no scheduler answers at the address, or no worker has introduced itself.
    """
    client = _client(address)
    try:
        members = ClusterWorkers(client, needs_gpu=True, quiet=True)
        _update_while(members, lambda: not members.known, FIRST_WORKER_SECONDS)
        _update_while(
            members,
            lambda: any(member.introduction for member in members.known.values()),
            INTRODUCTION_SECONDS,
        )
    finally:
        client.close()
    found = [member.found for member in members.known.values() if member.found is not None]
    if any(introduction.gpu for introduction in found):
        return "cuda", f"--device auto, and workers of {address} have GPUs"
    if found:
        return "cpu", f"--device auto, and no worker of {address} has a GPU"
    raise InputError(
        f"--device auto: no worker of {address} has reported its device yet: start the workers "
        "first, or give --device cpu or --device cuda"
    )


def _update_while(members: ClusterWorkers, waiting: Callable[[], bool], seconds: float) -> None:
    """Updates what is known of the workers, once and then while a condition holds."""
    until = time.monotonic() + seconds
    members.update()
    while waiting() and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        members.update()


def _client(address: str) -> Client:
    try:
        return Client(address, timeout=JOIN_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers ({type(error).__name__}): start "
            "one with `dask scheduler`, or name its address"
        ) from None


@dataclass
class _RemoteTask:
    """Holds a call that waits for a worker, or that a worker executes."""

    call: Callable[[], Any]
    receive: Callable[[Any], Any]
    outer: Future[Any]
    member: ClusterWorker | None = None
    inner: distributed.Future | None = None


class Dask(Engine):
    """Distributes runs over the workers of a Dask cluster. All runs end with the driver.

    Args:
        client: the client of the scheduler.
        members: the workers of the scheduler.
        cluster: the cluster, which ends with the engine; None: the scheduler outlives the engine.
    """

    def __init__(
        self, client: Client, members: ClusterWorkers, cluster: SpecCluster | None = None
    ) -> None:
        self._client, self._members, self._cluster = client, members, cluster
        self._address: str = client.scheduler_info(n_workers=0)["address"]
        self._tasks: list[_RemoteTask] = []
        self._queue: deque[_RemoteTask] = deque()
        self._lock, self._wake, self._ended = threading.RLock(), threading.Event(), False
        with self._lock:
            self._members.update()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def workers(self) -> int:
        return self._members.slots if self._client.status == "running" else 0

    @property
    def remote(self) -> bool:
        return not self._members.trusted

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._queued(partial(fn, *args, **kwargs), lambda result: result)

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        results = context.results.resolve()
        remote = RemoteJob(job, replace(context, results=results), token_of(results))
        return self._queued(partial(make_remote_run, remote), partial(store_result, results))

    def abandon(self, future: Future[Any]) -> None:
        for task in [e for e in self._tasks if e.outer is future]:
            member = task.member
            self._settle(task, BrokenExecutor("its worker does not come back"))
            if member is not None:
                member.accepted = False
                threading.Thread(target=self._restart, args=(member,), daemon=True).start()

    def _restart(self, member: ClusterWorker) -> None:
        """Lets the worker's nanny, if it has one, replace the worker."""
        with suppress(Exception):  # a worker whose nanny does not answer gets no more runs
            self._client.restart_workers(
                [member.address], timeout=_CLOSE_SECONDS, raise_for_error=False
            )

    def _queued(self, call: Callable[[], Any], receive: Callable[[Any], T]) -> Future[T]:
        task = _RemoteTask(call, receive, Future())
        with self._lock:
            self._tasks.append(task)
            self._queue.append(task)
        self._wake.set()
        return task.outer

    def _serve(self) -> None:
        """Gives waiting calls to free workers, and fails the calls of lost workers."""
        while not self._ended:
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()
            try:
                with self._lock:
                    self._dispatch()
            except Exception:
                if self._client.status == "running" and not self._ended:
                    continue  # the scheduler did not answer in time
            if self._client.status not in ("running", "connecting") and not self._ended:
                self._lose_scheduler()

    def _dispatch(self) -> None:
        gone = self._members.update()
        for task in [e for e in self._tasks if e.member and e.member.address in gone]:
            assert task.member is not None
            self._settle(task, BrokenExecutor(f"the worker at {task.member.address} is gone"))
        while self._queue and (member := self._members.free()) is not None:
            task = self._queue.popleft()
            member.running += 1
            task.member = member
            task.inner = submit_to_worker(self._client, task.call, member.address)
            task.inner.add_done_callback(partial(self._take, task))

    def _take(self, task: _RemoteTask, inner: distributed.Future) -> None:
        """Passes on the result of a call; translates Dask's errors into those of every engine."""
        try:
            self._settle(task, result=task.receive(inner.result()))
        except KilledWorker as error:
            self._settle(task, BrokenExecutor(f"the worker at {error.last_worker} died"))
        except Exception as error:
            if inner.status in ("cancelled", "lost"):
                return  # this engine has cancelled the call, or the scheduler is lost
            self._settle(task, error)

    def _settle(
        self, task: _RemoteTask, error: BaseException | None = None, result: Any = None
    ) -> None:
        """Sets the result or the error of a call, once."""
        with self._lock:
            if task not in self._tasks:
                return
            self._tasks.remove(task)
            if task.member is not None:
                task.member.running -= 1
            task.inner = None  # releases the task
        with suppress(InvalidStateError):
            if error is None:
                task.outer.set_result(result)
            else:
                task.outer.set_exception(error)
        self._wake.set()

    def _lose_scheduler(self) -> None:
        self._fail(f"the Dask scheduler at {self._address} is gone: start it and its workers again")

    def _fail(self, why: str) -> None:
        """Fails all calls with a SweepStoppedError."""
        for task in list(self._tasks):
            self._settle(task, SweepStoppedError(why))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the engine.

        Args:
            wait: whether running and waiting calls may finish first.
            cancel_futures: whether running and waiting calls are cancelled at once instead.
        """
        if wait and not cancel_futures:
            for task in list(self._tasks):
                with suppress(Exception):
                    task.outer.result()
        self._ended = True
        self._wake.set()
        if self._client.status == "running":
            running = [e.inner for e in list(self._tasks) if e.inner is not None]
            self._client.cancel(running, force=True)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close(timeout=_CLOSE_SECONDS)
