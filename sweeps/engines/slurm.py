"""The Slurm engine: each worker is a job, which dask-jobqueue submits.

A job that Slurm ends, at its time limit or with its node, is replaced; its run goes on from its
last checkpoint in the results folder, which nodes must see.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client

from benchmarks.records.errors import InputError
from sweeps.engines.cluster_workers import RESOURCE, ClusterWorkers
from sweeps.engines.dask import Dask, count_no_failures
from sweeps.slurm_options import SlurmOptions

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

LOOK_SECONDS = 5.0
"""Seconds between two questions to Slurm: its controller serves many users."""

MOST_USELESS = 3
"""So many jobs in a row that ended before their worker joined end the sweep."""

_SILENT_SECONDS = 60
"""After so many seconds without the driver, a worker ends its job."""


def start_slurm_jobs(
    options: SlurmOptions, jobs: int, *, threads: int, results: Path, needs_gpu: bool
) -> Dask:
    """Submits jobs, which become workers when Slurm starts them.

    Args:
        options: what each job asks for.
        jobs: how many there are at once.
        threads: cores of each job.
        results: the results folder; what jobs print goes to `slurm/` in it.
        needs_gpu: whether only workers that see a GPU serve.

    Returns:
        The engine; its jobs end with it.

    Raises:
        InputError: if Slurm or dask-jobqueue is not installed here, or Slurm refuses such a job.
    """
    cluster = _cluster(options, threads, results)
    try:
        _require_accepted(cluster.job_script())
    except InputError:
        cluster.close()
        raise
    client = Client(cluster, set_as_default=False)
    return _Slurm(client, ClusterWorkers(client, needs_gpu=needs_gpu), cluster, jobs)


def _cluster(options: SlurmOptions, threads: int, results: Path) -> SLURMCluster:
    if shutil.which("sbatch") is None:
        raise InputError(
            "--engine slurm: there is no command sbatch here: call this where Slurm jobs are "
            "submitted, or use another --engine"
        )
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise InputError(
            "--engine slurm needs dask-jobqueue, which is not installed: call "
            f"`{sys.executable} -m pip install -e '.[slurm]'` in the checkout"
        ) from None
    import dask

    count_no_failures()
    # A nanny needs some seconds to replace a worker that has left after its run.
    dask.config.set({"distributed.deploy.lost-worker-timeout": f"{_SILENT_SECONDS}s"})
    return SLURMCluster(
        queue=options.partition,
        account=options.account,
        walltime=options.time,
        memory=options.memory,
        cores=threads,
        processes=1,
        python=sys.executable,
        job_name="capsbench",
        log_directory=str(results.resolve() / "slurm"),
        death_timeout=_SILENT_SECONDS,
        job_extra_directives=[f"--gres=gpu:{options.devices}"] if options.devices else [],
        # The last of two equal options counts: dask-jobqueue gives its own before.
        worker_extra_args=[
            *("--nthreads", "1", "--memory-limit", "0"),
            *("--resources", f"{RESOURCE}=1", "--no-dashboard"),
        ],
        scheduler_options={"dashboard": False, "dashboard_address": ":0"},
    )


def _require_accepted(script: str) -> None:
    """Raises InputError if Slurm would not accept a job, with what Slurm says."""
    asked = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        lines = [line.removeprefix("sbatch: ") for line in asked.stderr.splitlines()]
        raise InputError(
            f"--engine slurm: Slurm refuses such a job ({'; '.join(lines) or 'it gives no reason'})"
            ": change the options that begin with --slurm, or ask who runs the cluster"
        )


class _Slurm(Dask):
    """The workers that are Slurm's jobs.

    Args:
        client: of the scheduler in this process.
        members: its workers.
        cluster: submits the jobs.
        jobs: how many there are at once.
    """

    def __init__(
        self, client: Client, members: ClusterWorkers, cluster: SLURMCluster, jobs: int
    ) -> None:
        super().__init__(client, members, cluster)
        self._jobs, self._joined, self._useless = jobs, set[str](), 0
        self._done = threading.Event()
        self._submit_missing()
        threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self) -> None:
        """Replaces jobs that have ended, until the engine ends."""
        while not self._done.wait(LOOK_SECONDS):
            before = self._submitted()
            if (there := _jobs_there()) is None:
                continue  # Slurm's controller does not answer; it may later
            self._replace({name: job for name, job in before.items() if job not in there})

    def _submit_missing(self) -> None:
        if self._cluster is not None:
            self._cluster.scale(jobs=self._jobs)  # type: ignore[call-arg]  # as jobqueue has it

    def _submitted(self) -> dict[Any, str]:
        """Returns the ids of the jobs by the names of their workers."""
        jobs = list(self._cluster.workers.items()) if self._cluster else []
        return {name: job.job_id for name, job in jobs if job.job_id is not None}

    def _replace(self, ended: dict[Any, str]) -> None:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        alive = {str(worker["name"]) for worker in workers}
        self._joined |= {self._submitted()[n] for n in self._submitted() if str(n) in alive}
        if alive:
            self._useless = 0
        for name, job in ended.items():
            if self._cluster is None or name not in self._cluster.workers:
                continue
            del self._cluster.workers[name]
            told = "its worker is replaced" if job in self._joined else "its worker never joined"
            print(f"capsbench: Slurm job {job} has ended; {told}", file=sys.stderr)
            self._useless += job not in self._joined
        if self._useless >= MOST_USELESS:
            self._fail(
                f"{self._useless} Slurm jobs in a row ended before their worker joined: what they "
                f"printed is in the folder slurm of the results; mend that, then go on with "
                "`capsbench resume`"
            )
        elif not self._done.is_set():
            self._submit_missing()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """With `cancel_futures` it ends at once what is running, too; the jobs end in any case."""
        self._done.set()
        super().shutdown(wait, cancel_futures=cancel_futures)


def _jobs_there() -> Set[str] | None:
    """Lists the ids of this user's jobs that wait or run; None if Slurm does not answer."""
    try:
        asked = subprocess.run(
            ["squeue", "--me", "--noheader", "--format=%A"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return set(asked.stdout.split())
