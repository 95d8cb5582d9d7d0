"""Where runs are made: `concurrent.futures` executors, one file per engine, and `start`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.engines.base import Engine, Job, WorkerContext, execute
from sweeps.engines.inline import Inline
from sweeps.engines.processes import Processes
from sweeps.options import EngineName
from sweeps.slurm_options import SlurmOptions

__all__ = [
    "Engine",
    "Inline",
    "Job",
    "Processes",
    "SlurmJobs",
    "WorkerContext",
    "execute",
    "start_engine",
]


@dataclass(frozen=True)
class SlurmJobs:
    """Says what the jobs of a sweep ask of Slurm."""

    options: SlurmOptions
    threads: int
    """The cores of each job."""
    results: Path


def start_engine(
    engine: EngineName,
    workers: int,
    *,
    devices: Sequence[str] = (),
    scheduler: str | None = None,
    needs_gpu: bool = False,
    slurm: SlurmJobs | None = None,
) -> Engine:
    """Starts the executor of an engine.

    Args:
        engine: its name.
        workers: how many workers it has on this machine.
        devices: the GPUs of this machine that the workers get in turn.
        scheduler: the address of a Dask scheduler, whose workers then serve.
        needs_gpu: whether only those workers of a scheduler, or of Slurm, serve that see a GPU.
        slurm: what each Slurm job asks for.

    Returns:
        The executor.

    Raises:
        InputError: if no scheduler answers there, or Slurm cannot be used.
    """
    match engine:
        case EngineName.inline:
            return Inline()
        case EngineName.processes:
            return Processes(workers, devices)
        case EngineName.dask:
            from sweeps.engines import dask  # which takes its time

            return (
                dask.join_cluster(scheduler, needs_gpu=needs_gpu)
                if scheduler
                else dask.start_local_cluster(workers, devices)
            )
        case EngineName.slurm:
            from sweeps.engines.slurm import start_slurm_jobs

            assert slurm is not None
            return start_slurm_jobs(
                slurm.options,
                workers,
                threads=slurm.threads,
                results=slurm.results,
                needs_gpu=needs_gpu,
            )
