"""Makes runs on a Dask worker, and exchanges jobs and results with the driver.

A worker needs this project, and the data or permission to download it. If the worker can access
the driver's results folder, a run whose worker was lost resumes from its checkpoint. Otherwise the
worker sends the files of each finished run, and a lost run starts from the beginning.
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
from benchmarks.records.atomic_files import has_token, write_atomically, write_token
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RECORD, RunFolder
from benchmarks.records.record import RunRecord
from sweeps.engines.base import Job, WorkerContext, execute
from sweeps.engines.devices import VARIABLE

_LOOK_SECONDS = 0.5
_UNWANTED = ("released", "cancelled", "forgotten")


@dataclass(frozen=True)
class RemoteJob:
    """Holds a job for a worker that may be on another machine."""

    job: Job
    context: WorkerContext
    token: str
    """Identifies the driver's results folder, so that a worker recognises it."""


@dataclass(frozen=True)
class RemoteResult:
    """Holds the result of a remote job."""

    record: RunRecord
    files: dict[str, bytes] = field(default_factory=dict)
    """The files of the run by name; empty if the worker has written them to the driver's folder."""


@dataclass(frozen=True)
class Introduction:
    """Describes a worker, before it gets a run."""

    host: str
    conditions: dict[str, str | None]
    """The conditions that must equal the driver's, so that runs are bit-equal on any worker."""
    gpu: str | None
    """The name of the GPU that the worker sees; None without a GPU, or if runs need none."""
    visible_devices: str | None
    """The value of $CUDA_VISIBLE_DEVICES on the worker."""

    def __str__(self) -> str:
        if self.gpu is None:
            return f"on {self.host}"
        devices = f", CUDA_VISIBLE_DEVICES={self.visible_devices}" if self.visible_devices else ""
        return f"on {self.host}: {self.gpu}{devices}"


def introduce_worker(*, with_gpu: bool) -> Introduction:
    """Describes this process, which is a worker.

    Args:
        with_gpu: whether runs need a GPU.

    Returns:
        The description; it names the GPU only if runs need one.
    """
    return Introduction(
        platform.node(),
        shared_conditions(with_gpu=with_gpu),
        provenance().gpu if with_gpu else None,
        os.environ.get(VARIABLE),
    )


def shared_conditions(*, with_gpu: bool) -> dict[str, str | None]:
    """Returns the conditions that a driver and its workers must share: code, libraries, processor.

    Args:
        with_gpu: whether runs need a GPU; then the processor is left out.
    """
    return provenance().conditions(None if with_gpu else "cpu")


class Call:
    """Wraps a call so that unpickling makes the call and returns its result.

    Dask's scheduler unpickles the functions of tasks, but need not have this project's modules. It
    gets the function `pickle.loads` with the pickled call as its argument.

    Args:
        call: a function without arguments that can be pickled.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return self._call, ()


def make_remote_run(remote: RemoteJob) -> RemoteResult:
    """Makes a run on a Dask worker.

    Args:
        remote: the job.

    Returns:
        The record; with the files of the run, if the worker cannot access the driver's results
        folder.
    """
    worker = get_worker()
    # The driver has already logged the messages about the data.
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)
    own = Path(worker.local_directory) / "capsbench"
    context = replace(remote.context, source=_data(remote.context, own))
    with _while_wanted(worker):
        if has_token(context.results, remote.token):
            return RemoteResult(execute(remote.job, context))
        own.mkdir(exist_ok=True)
        write_token(own, remote.token)  # this folder replaces the driver's
        record = execute(remote.job, replace(context, results=own))
        return RemoteResult(record, _pack(RunFolder(own, record.run_id).path))


def _data(context: WorkerContext, own: Path) -> DataSource:
    """Chooses the data: the driver's folder if accessible, else $BENCH_DATA, else a download."""
    if context.source.root.is_dir():
        return context.source
    named = os.environ.get("BENCH_DATA")
    return DataSource(Path(named) if named else own / "data", context.download)


def _pack(home: Path) -> dict[str, bytes]:
    """Reads all files of a run's folder except its lock, by name."""
    files = (path for path in sorted(home.rglob("*")) if path.name != ".lock")
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and not path.is_symlink()
    }


def store_result(results: Path, result: RemoteResult) -> RunRecord:
    """Writes the files of a remote result to the run's folder; the record last.

    Args:
        results: the results folder of the driver.
        result: the result that a worker has sent.

    Returns:
        The record of the run.

    Raises:
        InputError: if the name of a file leads out of the run's folder.
    """
    home = RunFolder(results, result.record.run_id).path
    for name in sorted(result.files, key=lambda name: name == RECORD):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(
                f"a Dask worker sent a file called {name!r}, which is not in the folder of its "
                "run: use only workers that you trust"
            )
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, result.files[name])
    return result.record


@contextmanager
def _while_wanted(worker: Worker) -> Iterator[None]:
    """Ends this process at the run's next checkpoint if the run is no longer wanted.

    It is not if the driver has gone, in which case Dask itself would continue the task, or if the
    worker is asked to end. If the worker's nanny stays, it starts another worker.
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
