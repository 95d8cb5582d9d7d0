"""Defines the Slurm engine: each worker is a job, which dask-jobqueue submits.

A job that ends, for instance at its time limit or with its node, is replaced. Its run resumes from
the last checkpoint in the results folder, which the nodes must be able to access.
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
"""Seconds between two calls of squeue, because Slurm's controller serves many users."""

MOST_USELESS = 3
"""The sweep ends after this number of successive jobs that ended before their worker joined."""

_SILENT_SECONDS = 60
"""Seconds without the driver after which a worker ends its job."""


def start_slurm_jobs(
    options: SlurmOptions, jobs: int, *, threads: int, results: Path, needs_gpu: bool
) -> Dask:
    """Submits jobs, which become workers when Slurm starts them.

    Args:
        options: what each job requests.
        jobs: the largest number of jobs at the same time.
        threads: the number of cores per job.
        results: the results folder; the output of jobs goes to its folder `slurm`.
        needs_gpu: whether only workers with a GPU are used.

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
            "--engine slurm: this machine has no command sbatch: use a machine from which Slurm "
            "jobs are submitted, or another --engine"
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
        # Of two equal options the last one counts, and dask-jobqueue puts its own first.
        worker_extra_args=[
            *("--nthreads", "1", "--memory-limit", "0"),
            *("--resources", f"{RESOURCE}=1", "--no-dashboard"),
        ],
        scheduler_options={"dashboard": False, "dashboard_address": ":0"},
    )


def _require_accepted(script: str) -> None:
    """Checks that Slurm would accept a job.

    Raises:
        InputError: if Slurm would refuse the job; the message has Slurm's reason.
    """
    asked = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        lines = [line.removeprefix("sbatch: ") for line in asked.stderr.splitlines()]
        raise InputError(
            f"--engine slurm: Slurm refuses such a job ({'; '.join(lines) or 'it gives no reason'})"
            ": change the options that begin with --slurm, or ask the cluster's administrators"
        )


class _Slurm(Dask):
    """Distributes runs over Slurm jobs, and replaces jobs that have ended.

    Args:
        client: the client of the scheduler in this process.
        members: the workers of the scheduler.
        cluster: the cluster that submits the jobs.
        jobs: the number of jobs at the same time.
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
            if (listed := _listed_jobs()) is None:
                continue  # Slurm's controller does not answer now
            self._replace({name: job for name, job in before.items() if job not in listed})

    def _submit_missing(self) -> None:
        if self._cluster is not None:
            self._cluster.scale(jobs=self._jobs)  # type: ignore[call-arg]  # as jobqueue has it

    def _submitted(self) -> dict[Any, str]:
        """Returns the ids of the submitted jobs, by name of their worker."""
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
            how = "its worker is replaced" if job in self._joined else "its worker never joined"
            print(f"capsbench: Slurm job {job} has ended; {how}", file=sys.stderr)
            self._useless += job not in self._joined
        if self._useless >= MOST_USELESS:
            self._fail(
                f"{self._useless} Slurm jobs in a row ended before their worker joined: read their "
                "output in the folder slurm of the results, and remove the cause"
            )
        elif not self._done.is_set():
            self._submit_missing()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the engine and its jobs.

        Args:
            wait: whether running and waiting calls may finish first.
            cancel_futures: whether running and waiting calls are cancelled at once instead.
        """
        self._done.set()
        super().shutdown(wait, cancel_futures=cancel_futures)


def _listed_jobs() -> Set[str] | None:
    """Lists the ids of this user's waiting and running jobs; None if Slurm does not answer."""
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
