"""Where runs are made: `concurrent.futures` executors, one file per engine, and `start`."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.engines.base import Engine, Job, WorkerContext, execute
from sweeps.engines.inline import Inline
from sweeps.engines.processes import Processes
from sweeps.options import EngineName

__all__ = ["Engine", "Inline", "Job", "Processes", "WorkerContext", "execute", "start"]


def start(
    engine: EngineName,
    workers: int,
    *,
    devices: Sequence[str] = (),
    scheduler: str | None = None,
    needs_gpu: bool = False,
) -> Engine:
    """Starts the executor of an engine.

    Args:
        engine: its name.
        workers: how many workers it has on this machine.
        devices: the GPUs of this machine that the workers get in turn.
        scheduler: the address of a Dask scheduler, whose workers then serve.
        needs_gpu: whether only those of the scheduler's workers serve that see a GPU.

    Returns:
        The executor.

    Raises:
        InputError: if no scheduler answers there.
    """
    match engine:
        case EngineName.inline:
            return Inline()
        case EngineName.processes:
            return Processes(workers, devices)
        case EngineName.dask:
            from sweeps.engines import dask  # which takes its time

            return (
                dask.join(scheduler, needs_gpu=needs_gpu)
                if scheduler
                else dask.local(workers, devices)
            )
