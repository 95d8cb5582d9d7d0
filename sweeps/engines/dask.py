"""The Dask engine: workers on this machine, or on all those that a scheduler knows.

A worker needs this package, the scheduler's address, and the data or a way to fetch it. It sees
the driver's results folder, or sends what a run leaves: then a run whose worker was lost begins
anew, where it otherwise goes on from its checkpoint.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ParamSpec, TypeVar

from distributed import Client, KilledWorker, Nanny, Scheduler, SpecCluster, get_worker
from distributed.core import Status
from distributed.worker import Worker

from benchmarks import interrupts
from benchmarks.allocator import keep_freed_memory
from benchmarks.datasets.dataset import DataSource
from benchmarks.provenance import provenance
from benchmarks.records.atomic_files import token_of, write_atomically
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord, changes
from sweeps.engines.base import Engine, Job, WorkerContext, execute
from sweeps.engines.devices import gpu_environment

RESOURCE = "run"
"""Each worker offers one, for a GPU or some cores of its own: it makes one run at a time."""

JOIN_SECONDS = 15

_QUIET = logging.CRITICAL
"""The driver says what fails."""

_CLOSE_SECONDS = 10
_LOOK_SECONDS = 0.5
_UNWANTED = ("released", "cancelled", "forgotten")

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def local(workers: int, gpus: int = 0) -> Engine:
    """A cluster of this machine, which ends with the sweep. Where there are GPUs, each worker sees
    one.
    """
    import dask

    keep_freed_memory()
    # The driver counts how often a run's worker died.
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    common = {"nthreads": 1, "resources": {RESOURCE: 1}, "memory_limit": 0}
    common |= {"host": "127.0.0.1", "silence_logs": _QUIET, **quiet}
    cluster = SpecCluster(
        scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", **quiet}},
        workers={
            worker: {"cls": Nanny, "options": {**common, "env": gpu_environment(worker, gpus)}}
            for worker in range(workers)
        },
        silence_logs=_QUIET,
    )
    return Dask(Client(cluster, set_as_default=False), cluster)


def join(address: str) -> Engine:
    """The cluster of a scheduler that is there. Raises InputError where it does not answer."""
    try:
        client = Client(address, timeout=JOIN_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__}): "
            "start one with `dask scheduler`, or name its address"
        ) from None
    engine = Dask(client)
    if engine.workers == 0:
        print(
            f"capsbench: no worker has joined {address} yet; one does with `dask worker {address} "
            f"--nthreads 1 --memory-limit 0 --resources {RESOURCE}=1`",
            file=sys.stderr,
        )
    return engine


class Dask(Engine):
    """Runs spread over the workers of a Dask cluster; a driver that ends leaves none at work."""

    def __init__(self, client: Client, cluster: SpecCluster | None = None) -> None:
        self._client, self._cluster = client, cluster
        self._executor = client.get_executor(pure=False, resources={RESOURCE: 1})
        self._address: str = client.scheduler_info(n_workers=0)["address"]

    @property
    def workers(self) -> int:
        if self._client.status != "running":
            return 0
        known = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(int(worker["resources"].get(RESOURCE, 0)) for worker in known)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._translated(self._executor.submit(fn, *args, **kwargs), lambda result: result)

    def begin(self, job: Job, site: WorkerContext) -> Future[RunRecord]:
        results = site.results.resolve()
        site = replace(site, results=results)
        errand = RemoteJob(job, site, token_of(results), conditions(job))
        return self._translated(self._executor.submit(_run, errand), partial(_unpack, results))

    def _translated(self, inner: Future[S], receive: Callable[[S], T]) -> Future[T]:
        """A future with what `receive` makes of the result, and every engine's errors."""
        outer: Future[T] = Future()

        def ended(inner: Future[S]) -> None:
            try:
                outer.set_result(receive(inner.result()))
            except KilledWorker as error:
                outer.set_exception(BrokenExecutor(f"the worker at {error.last_worker} died"))
            except CancelledError:
                outer.set_exception(
                    InputError(
                        f"the Dask scheduler at {self._address} is gone: start it and its workers "
                        "again, then go on with `capsbench resume`"
                    )
                )
            except Exception as error:
                outer.set_exception(error)

        inner.add_done_callback(ended)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """With `cancel_futures` it ends at once what is running, too."""
        if self._client.status == "running":
            self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close(timeout=_CLOSE_SECONDS)


@dataclass(frozen=True)
class RemoteJob:
    """A job as it is sent to a worker that may be elsewhere."""

    job: Job
    site: WorkerContext
    token: str
    conditions: dict[str, str | None]


def conditions(job: Job) -> dict[str, str | None]:
    """Lists what the driver and a worker must agree on, so that a run has the same bits anywhere.

    A driver without a GPU cannot know that of a worker.
    """
    device = job.spec.device
    return provenance().conditions(None if device == "cuda" else device)


@dataclass(frozen=True)
class RemoteResult:
    """What comes back: the record, and the run's files where the driver cannot see them."""

    record: RunRecord
    files: dict[str, bytes] = field(default_factory=dict)


def _run(errand: RemoteJob) -> RemoteResult:
    """What a Dask worker does."""
    worker = get_worker()
    # What there is to say of the data, the driver has said.
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)
    if changed := changes(errand.conditions, conditions(errand.job)):
        raise InputError(
            f"the Dask worker at {worker.address} works under other conditions than the driver "
            f"({changed}): give both the same code and libraries, and where processors differ the "
            "same ATEN_CPU_CAPABILITY, then go on with `capsbench resume`"
        )
    own = Path(worker.local_directory) / "capsbench"
    site = replace(errand.site, source=_data(errand.site, own))
    with _while_wanted(worker):
        if _sees(site.results, errand.token):
            return RemoteResult(execute(errand.job, site))
        own.mkdir(exist_ok=True)
        (own / ".token").write_text(errand.token)  # it stands for the driver's folder
        record = execute(errand.job, replace(site, results=own))
        return RemoteResult(record, _pack(RunFolder(own, record.run_id).path))


def _sees(results: Path, token: str) -> bool:
    try:
        return (results / ".token").read_text() == token
    except OSError:
        return False


def _data(site: WorkerContext, own: Path) -> DataSource:
    """The driver's data where it is seen, else that of $BENCH_DATA, else what can be fetched."""
    if site.source.root.is_dir():
        return site.source
    named = os.environ.get("BENCH_DATA")
    return DataSource(Path(named) if named else own / "data", site.download)


def _pack(home: Path) -> dict[str, bytes]:
    """What a run left, but for its lock."""
    files = (path for path in sorted(home.rglob("*")) if path.name != ".lock")
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and not path.is_symlink()
    }


def _unpack(results: Path, parcel: RemoteResult) -> RunRecord:
    """Puts what came back where the run's files lie; last the record, which says: all is there."""
    home = RunFolder(results, parcel.record.run_id).path
    for name in sorted(parcel.files, key=lambda name: name == "record.json"):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"a Dask worker sent a file called {name!r}: it is not taken")
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, parcel.files[name])
    return parcel.record


@contextmanager
def _while_wanted(worker: Worker) -> Iterator[None]:
    """Ends this process, at the run's next checkpoint, where the driver that asked for the task is
    gone, which Dask would go on with, or where the worker is asked to end.

    A nanny that is not to end too starts another.
    """
    key, done = worker.get_current_task(), threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state in _UNWANTED or worker.status != Status.running:
                interrupts.request_stop()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
