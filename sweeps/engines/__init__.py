"""Computes runs: one `concurrent.futures` executor per engine, and `start_engine`."""

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
    """Holds what the Slurm jobs of a sweep request."""

    options: SlurmOptions
    threads: int
    """The number of cores per job."""
    results: Path
    """The results folder, which gets the output of the jobs."""


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
        engine: the name of the engine.
        workers: the number of workers on this machine, or the largest number of Slurm jobs.
        devices: the GPUs of this machine that the workers get in turn.
        scheduler: the address of a Dask scheduler whose workers are used; None: workers on this
            machine.
        needs_gpu: whether only workers with a GPU are used, of a scheduler or of Slurm.
        slurm: what each Slurm job requests.

    Returns:
        The executor.

    Raises:
        InputError: if no scheduler answers at the address, or Slurm cannot be used.
    """
    match engine:
        case EngineName.inline:
            return Inline()
        case EngineName.processes:
            return Processes(workers, devices)
        case EngineName.dask:
            from sweeps.engines import dask  # importing Dask is slow

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
