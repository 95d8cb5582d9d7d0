"""Starts a real Slurm on this machine: munged, slurmctld and slurmd with their own
configuration.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
PATIENCE = 60


def missing() -> str | None:
    """Returns why no Slurm can be started here; None if it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: apt install slurm-wlm munge)"
    return None if os.geteuid() == 0 else "slurmd starts jobs as root alone"


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextmanager
def one_machine(folder: Path, cores: int = 2) -> Iterator[dict[str, str]]:
    """Starts a Slurm with one node and one partition, `short`, and ends it afterwards.

    Args:
        folder: for its configuration, state and logs; a short path, because sockets are in it.
        cores: number of cores of the node.

    Yields:
        The environment variables with which Slurm's commands find it.
    """
    folder.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": _path(),
        "SLURM_CONF": str(folder / "slurm.conf"),
    }
    _configure(folder, cores)
    started = [
        _start(
            folder,
            environment,
            "munged",
            *("--foreground", "--force", f"--key-file={folder}/key", f"--socket={folder}/munge"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"),
            f"--seed-file={folder}/seed",
        )
    ]
    try:
        _until(lambda: (folder / "munge").exists(), folder)
        started.append(_start(folder, environment, "slurmctld", "-D", "-c"))
        started.append(_start(folder, environment, "slurmd", "-D", "-N", "here"))
        _until(lambda: "idle" in _output(environment, "sinfo", "-h", "-o", "%T"), folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True)
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _configure(folder: Path, cores: int) -> None:
    (folder / "key").write_bytes(secrets.token_bytes(128))
    (folder / "key").chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    control, node = _free_ports(2)
    (folder / "slurm.conf").write_text(
        f"""
ClusterName=test
SlurmctldHost={platform.node()}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge
CryptoType=crypto/munge
SlurmctldPort={control}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
OverTimeLimit=0
SchedulerParameters=sched_interval=1,batch_sched_delay=0,defer=0
MessageTimeout=60
NodeName=here NodeHostname={platform.node()} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=4000
PartitionName=short Nodes=here Default=YES MaxTime=INFINITE State=UP
"""
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _start(folder: Path, environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=folder)


def _output(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _until(holds: object, folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():  # type: ignore[operator]
        if time.monotonic() > until:
            logs = "\n".join(p.read_text(errors="replace") for p in folder.glob("*.[ol][uo][tg]"))
            raise RuntimeError(f"Slurm did not start: {logs}")
        time.sleep(0.2)
