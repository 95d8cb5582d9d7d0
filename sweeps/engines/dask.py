"""The Dask engine: workers on this machine, or those that a scheduler knows."""

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

from benchmarks.allocator import keep_freed_memory
from benchmarks.records.atomic_files import token_of
from benchmarks.records.errors import InputError
from benchmarks.records.record import RunRecord
from sweeps.engines.base import Engine, Job, WorkerContext
from sweeps.engines.crew import RESOURCE, START, Crew, Member, submit
from sweeps.engines.devices import gpu_environment
from sweeps.engines.remote import RemoteJob, make_run, unpack

JOIN_SECONDS = 15
INTRODUCTION_SECONDS = 120.0
"""How long a worker may take to import PyTorch and say whether it sees a GPU."""

_QUIET = logging.CRITICAL
"""The driver says what fails."""

_CLOSE_SECONDS = 10
_LOOK_SECONDS = 0.5

P = ParamSpec("P")
T = TypeVar("T")


def local(workers: int, devices: Sequence[str] = ()) -> Engine:
    """Starts a cluster of this machine, which ends with the sweep.

    Args:
        workers: how many.
        devices: the GPUs that they get in turn.
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
    return Dask(client, Crew(client, trusted=True), cluster)


def count_no_failures() -> None:
    """Has schedulers of this process report a worker's first death: the driver counts them."""
    import dask

    dask.config.set({"distributed.scheduler.allowed-failures": 0})


def join(address: str, *, needs_gpu: bool = False) -> Engine:
    """Joins the cluster of a scheduler that is there.

    Args:
        address: of the scheduler.
        needs_gpu: whether only workers that see a GPU serve.

    Raises:
        InputError: if no scheduler answers there.
    """
    client = _client(address)
    crew = Crew(client, needs_gpu=needs_gpu)
    if not client.scheduler_info(n_workers=-1)["workers"]:
        print(
            f"capsbench: no worker has joined {address} yet; one does with "
            f"{START.replace('ADDRESS', address)}",
            file=sys.stderr,
        )
    return Dask(client, crew)


def choose_device(address: str) -> tuple[Literal["cpu", "cuda"], str]:
    """Chooses the device for `--device auto` by what the scheduler's workers have now.

    Args:
        address: of the scheduler.

    Returns:
        `cuda` if a worker sees a GPU, else `cpu`; and the reason in words.

    Raises:
        InputError: if no scheduler answers there, or no worker has introduced itself.
    """
    client = _client(address)
    try:
        crew = Crew(client, needs_gpu=True, quiet=True)
        until = time.monotonic() + INTRODUCTION_SECONDS
        crew.look()
        while any(m.introduction for m in crew.members.values()) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
            crew.look()
    finally:
        client.close()
    found = [member.found for member in crew.members.values() if member.found is not None]
    if any(introduction.gpu for introduction in found):
        return "cuda", f"--device auto, and workers of {address} see GPUs"
    if found:
        return "cpu", f"--device auto, and no worker of {address} sees a GPU"
    raise InputError(
        f"--device auto: no worker has joined {address} yet whose device could be used: start the "
        "workers first, or give --device cpu or --device cuda"
    )


def _client(address: str) -> Client:
    try:
        return Client(address, timeout=JOIN_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__}): "
            "start one with `dask scheduler`, or name its address"
        ) from None


@dataclass
class _Errand:
    """A call that waits for a worker, or is with one."""

    call: Callable[[], Any]
    receive: Callable[[Any], Any]
    outer: Future[Any]
    member: Member | None = None
    inner: distributed.Future | None = None


class Dask(Engine):
    """Runs spread over the workers of a Dask cluster; a driver that ends leaves none at work.

    Args:
        client: of the scheduler.
        crew: its workers.
        cluster: ends with the engine; None: the scheduler goes on without it.
    """

    def __init__(self, client: Client, crew: Crew, cluster: SpecCluster | None = None) -> None:
        self._client, self._crew, self._cluster = client, crew, cluster
        self._address: str = client.scheduler_info(n_workers=0)["address"]
        self._errands: list[_Errand] = []
        self._queue: deque[_Errand] = deque()
        self._lock, self._wake, self._ended = threading.RLock(), threading.Event(), False
        with self._lock:
            self._crew.look()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def workers(self) -> int:
        return self._crew.slots if self._client.status == "running" else 0

    @property
    def remote(self) -> bool:
        return not self._crew.trusted

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._queued(partial(fn, *args, **kwargs), lambda result: result)

    def begin(self, job: Job, site: WorkerContext) -> Future[RunRecord]:
        results = site.results.resolve()
        remote = RemoteJob(job, replace(site, results=results), token_of(results))
        return self._queued(partial(make_run, remote), partial(unpack, results))

    def abandon(self, future: Future[Any]) -> None:
        for errand in [e for e in self._errands if e.outer is future]:
            member = errand.member
            self._settle(errand, BrokenExecutor("its worker does not come back"))
            if member is not None:
                member.accepted = False
                threading.Thread(target=self._restart, args=(member,), daemon=True).start()

    def _restart(self, member: Member) -> None:
        """Has the nanny of a worker, if it has one, end it and start another."""
        with suppress(Exception):  # what does not answer stays left out
            self._client.restart_workers(
                [member.address], timeout=_CLOSE_SECONDS, raise_for_error=False
            )

    def _queued(self, call: Callable[[], Any], receive: Callable[[Any], T]) -> Future[T]:
        errand = _Errand(call, receive, Future())
        with self._lock:
            self._errands.append(errand)
            self._queue.append(errand)
        self._wake.set()
        return errand.outer

    def _serve(self) -> None:
        """Gives waiting calls to free workers, and ends the calls of workers that have gone."""
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
        gone = self._crew.look()
        for errand in [e for e in self._errands if e.member and e.member.address in gone]:
            assert errand.member is not None
            self._settle(errand, BrokenExecutor(f"the worker at {errand.member.address} is gone"))
        while self._queue and (member := self._crew.free()) is not None:
            errand = self._queue.popleft()
            member.running += 1
            errand.member = member
            errand.inner = submit(self._client, errand.call, member.address)
            errand.inner.add_done_callback(partial(self._take, errand))

    def _take(self, errand: _Errand, inner: distributed.Future) -> None:
        """Passes the result of a call on; every engine has the same errors."""
        try:
            self._settle(errand, result=errand.receive(inner.result()))
        except KilledWorker as error:
            self._settle(errand, BrokenExecutor(f"the worker at {error.last_worker} died"))
        except Exception as error:
            if inner.status in ("cancelled", "lost"):
                return  # by this engine, or with the scheduler
            self._settle(errand, error)

    def _settle(
        self, errand: _Errand, error: BaseException | None = None, result: Any = None
    ) -> None:
        """Ends the future of a call, once."""
        with self._lock:
            if errand not in self._errands:
                return
            self._errands.remove(errand)
            if errand.member is not None:
                errand.member.running -= 1
            errand.inner = None  # releases the task
        with suppress(InvalidStateError):
            if error is None:
                errand.outer.set_result(result)
            else:
                errand.outer.set_exception(error)
        self._wake.set()

    def _lose_scheduler(self) -> None:
        self._fail(
            f"the Dask scheduler at {self._address} is gone: start it and its workers again, then "
            "go on with `capsbench resume`"
        )

    def _fail(self, why: str) -> None:
        """Ends all calls with an InputError."""
        for errand in list(self._errands):
            self._settle(errand, InputError(why))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """With `cancel_futures` it ends at once what is running, too."""
        if wait and not cancel_futures:
            for errand in list(self._errands):
                with suppress(Exception):
                    errand.outer.result()
        self._ended = True
        self._wake.set()
        if self._client.status == "running":
            running = [e.inner for e in list(self._errands) if e.inner is not None]
            self._client.cancel(running, force=True)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close(timeout=_CLOSE_SECONDS)
