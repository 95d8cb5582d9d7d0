"""The Dask set-up of docs/sweeps.md, as it is written: a `.venv`, a checkout and a folder each."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.profiles import ProfileName
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
    """The commands of the section on Dask: scheduler, worker, worker with a GPU, driver."""
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
        os.killpg(process.pid, 9)
        process.wait()


def wait_for(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until
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
    wait_for(port)
    right = checkout(tmp_path / "right")
    wrong = checkout(tmp_path / "wrong")
    with (wrong / "models" / "baselines.py").open("a") as file:
        file.write("# another version\n")
    start(worker, wrong)
    start(worker.replace("--resources run=1", ""), right)
    start(worker, right)
    own = checkout(tmp_path / "driver")
    asked = "--profile smoke --only linear/usps --trials 2 --finals 1 --offline --device cpu"
    done = subprocess.run(
        ["bash", "-c", f"{driver} {asked} --results results"],
        cwd=own,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "has other code than the driver" in done.stderr
    assert "offers no resource `run`" in done.stderr
    assert done.stderr.count(" serves, on ") == 1
    assert "runs are computed on cpu: --device cpu, on the workers of tcp://" in done.stderr
    choice = Options(
        profile=ProfileName.smoke,
        data=tmp_path / "no-data",
        only=("linear/usps",),
        engine=EngineName.inline,
        trials=2,
        seeds=1,
        offline=True,
    )
    sweep(choice, tmp_path / "alone")
    assert digests(own / "results") == digests(tmp_path / "alone")


def digests(results: Path) -> dict[str, str]:
    records = (json.loads(path.read_bytes()) for path in results.glob("runs/*/record.json"))
    return {record["run_id"]: record["digest"] for record in records}
