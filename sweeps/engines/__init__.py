"""Where runs are made: `concurrent.futures` executors, one file per engine, and `start`."""

from __future__ import annotations

from sweeps.engines.base import Engine, Job, WorkerContext, execute
from sweeps.engines.inline import Inline
from sweeps.engines.processes import Processes
from sweeps.options import EngineName

__all__ = ["Engine", "Inline", "Job", "Processes", "WorkerContext", "execute", "start"]


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
            from sweeps.engines import dask  # which takes its time

            return dask.join(scheduler) if scheduler else dask.local(workers, gpus)
