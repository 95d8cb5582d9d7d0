"""What a Dask worker does, and what travels between it and the driver.

A worker needs this project, and the data or a way to fetch it. It sees the driver's results folder,
or sends what a run leaves: then a run whose worker was lost begins anew, where it otherwise goes on
from its checkpoint.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from distributed import get_worker
from distributed.core import Status
from distributed.worker import Worker

from benchmarks import interrupts
from benchmarks.datasets.dataset import DataSource
from benchmarks.provenance import provenance
from benchmarks.records.atomic_files import write_atomically
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from sweeps.engines.base import Job, WorkerContext, execute
from sweeps.engines.devices import VARIABLE

_LOOK_SECONDS = 0.5
_UNWANTED = ("released", "cancelled", "forgotten")


@dataclass(frozen=True)
class RemoteJob:
    """A job as it is sent to a worker that may be elsewhere."""

    job: Job
    context: WorkerContext
    token: str


@dataclass(frozen=True)
class RemoteResult:
    """What comes back: the record, and the run's files where the driver cannot see them."""

    record: RunRecord
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Introduction:
    """What a worker says of itself before it gets a run."""

    host: str
    conditions: dict[str, str | None]
    """What it must have in common with the driver, so that a run has the same bits anywhere."""
    gpu: str | None
    """The name of the GPU that it sees; None without one, or where nobody asked."""
    visible_devices: str | None

    def __str__(self) -> str:
        if self.gpu is None:
            return f"on {self.host}"
        devices = f", CUDA_VISIBLE_DEVICES={self.visible_devices}" if self.visible_devices else ""
        return f"on {self.host}: {self.gpu}{devices}"


def introduce_worker(*, with_gpu: bool) -> Introduction:
    """Says what the process that calls this is, and whether it sees a GPU if that is asked."""
    return Introduction(
        platform.node(),
        shared_conditions(with_gpu=with_gpu),
        provenance().gpu if with_gpu else None,
        os.environ.get(VARIABLE),
    )


def shared_conditions(*, with_gpu: bool) -> dict[str, str | None]:
    """Lists what a driver and its workers must agree on: code, libraries, and the processor.

    Args:
        with_gpu: whether runs need a GPU, of which a driver without one knows nothing; then the
            processor is left out.
    """
    return provenance().conditions(None if with_gpu else "cpu")


class Call:
    """A call as a pickle: whoever unpickles it makes the call, and gets its result.

    Dask's scheduler unpickles the functions of tasks, and has other modules than workers. It gets
    `pickle.loads` with these bytes, and so needs no module of this project.

    Args:
        call: without arguments; its parts can be pickled.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return self._call, ()


def make_run(remote: RemoteJob) -> RemoteResult:
    """Makes a run on a Dask worker.

    Args:
        remote: the job, and what the driver knows of the worker's surroundings.

    Returns:
        The record; with the files of the run, if the worker does not see the driver's results.
    """
    worker = get_worker()
    # What there is to say of the data, the driver has said.
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)
    own = Path(worker.local_directory) / "capsbench"
    context = replace(remote.context, source=_data(remote.context, own))
    with _while_wanted(worker):
        if _sees(context.results, remote.token):
            return RemoteResult(execute(remote.job, context))
        own.mkdir(exist_ok=True)
        (own / ".token").write_text(remote.token)  # it stands for the driver's folder
        record = execute(remote.job, replace(context, results=own))
        return RemoteResult(record, _pack(RunFolder(own, record.run_id).path))


def _sees(results: Path, token: str) -> bool:
    try:
        return (results / ".token").read_text() == token
    except OSError:
        return False


def _data(context: WorkerContext, own: Path) -> DataSource:
    """The driver's data where it is seen, else that of $BENCH_DATA, else what can be fetched."""
    if context.source.root.is_dir():
        return context.source
    named = os.environ.get("BENCH_DATA")
    return DataSource(Path(named) if named else own / "data", context.download)


def _pack(home: Path) -> dict[str, bytes]:
    """What a run left, but for its lock."""
    files = (path for path in sorted(home.rglob("*")) if path.name != ".lock")
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and not path.is_symlink()
    }


def store_result(results: Path, result: RemoteResult) -> RunRecord:
    """Puts what came back where the run's files lie; last the record, which says: all is there."""
    home = RunFolder(results, result.record.run_id).path
    for name in sorted(result.files, key=lambda name: name == "record.json"):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"a Dask worker sent a file called {name!r}: it is not taken")
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, result.files[name])
    return result.record


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
