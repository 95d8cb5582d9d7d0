"""Tests the Dask set-up of docs/sweeps.md: each machine has its own `.venv`, checkout and
folder.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.specs.profiles import ProfileName
from sweeps.options import EngineName, Options
from sweeps.sweep import sweep
from tests.environments import checkout, dask_alone

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    "OMP_NUM_THREADS": "1",
    "BENCH_DATA": "",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def documented() -> list[str]:
    """Returns the commands of the section on Dask: scheduler, worker, worker with a GPU, driver."""
    text = (ROOT / "docs" / "sweeps.md").read_text()
    (block,) = re.findall(r"## A Dask cluster\n.*?```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    exports = " && ".join(line for line in lines if line.startswith("export "))
    return [f"{exports} && {line}" for line in lines if line and not line.startswith("export ")]


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(process.pid, 9)
        process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(holds: Callable[[], bool], log: Path | None = None) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, log and log.read_text()
        time.sleep(0.2)


@pytest.mark.slow
def test_the_documented_dask_cluster_serves_and_refuses_workers_one_by_one(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scheduler, worker, _, driver = (
        line.replace("HOST:8786", f"127.0.0.1:{port}") for line in documented()
    )

    def start(command: str, folder: Path) -> None:
        processes.append(
            subprocess.Popen(
                ["bash", "-c", f"{command} --no-dashboard"],
                cwd=folder,
                env=ENVIRONMENT,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    start(f"{scheduler} --host 127.0.0.1 --port {port}", dask_alone(tmp_path / "scheduler"))
    wait_until(lambda: answers(port))
    right = checkout(tmp_path / "right")
    wrong = checkout(tmp_path / "wrong")
    with (wrong / "models" / "baselines.py").open("a") as file:
        file.write("# another version\n")
    start(worker, wrong)
    start(worker, tmp_path / "scheduler")
    start(worker.replace("--resources run=1", ""), right)
    own = checkout(tmp_path / "driver")
    asked = "--profile smoke --only linear/usps --trials 2 --finals 1 --offline --device cpu"
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        sweeping = subprocess.Popen(
            ["bash", "-c", f"{driver} {asked} --results results"],
            cwd=own,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )
    processes.append(sweeping)
    wait_until(lambda: log.read_text().count(" gets no run: ") == 3, log)
    assert "(code_version was " in log.read_text()
    assert "offers no resource `run`" in log.read_text()
    assert "cannot compute runs (ModuleNotFoundError: No module named 'sweeps')" in log.read_text()
    wait_until(
        lambda: "no worker can compute the runs of this sweep; it waits" in log.read_text(), log
    )
    assert sweeping.poll() is None
    start(worker, right)
    assert sweeping.wait(PATIENCE) == 0, log.read_text()
    assert log.read_text().count(" gets runs, on ") == 1
    assert "runs are computed on cpu: --device cpu, on the workers" in log.read_text()
    choice = Options(
        profile=ProfileName.smoke,
        data=tmp_path / "no-data",
        only=("linear/usps",),
        engine=EngineName.inline,
        trials=2,
        finals=1,
        offline=True,
    )
    sweep(choice, tmp_path / "alone")
    assert digests(own / "results") == digests(tmp_path / "alone")


def digests(results: Path) -> dict[str, str]:
    records = (json.loads(path.read_bytes()) for path in results.glob("runs/*/record.json"))
    return {record["run_id"]: record["digest"] for record in records}
