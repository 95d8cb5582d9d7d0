"""Tests that workers are forked from a server that has only imported what they need."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from sweeps.engines import Processes
from tests.process_helpers import alive

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60


@pytest.fixture(scope="module")
def engine() -> Iterator[Processes]:
    with Processes(1) as engine:
        yield engine


def linger(place: Path) -> None:
    place.write_text(f"{os.getpid()} {os.getppid()}")
    time.sleep(PATIENCE)


def test_the_server_starts_no_thread_and_touches_no_device() -> None:
    """Threads of the libraries of numpy and scipy are not counted, because they survive a fork."""
    script = """
import os
import scipy.linalg
before = len(os.listdir("/proc/self/task"))
import sweeps.worker_imports
import sys, torch
print(len(os.listdir("/proc/self/task")) - before, torch.cuda.is_initialized())
print({"pytorch_lightning", "wandb", "optuna", "benchmarks.runs.run"} <= sys.modules.keys())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["0", "False", "True"], done.stderr


def test_a_worker_has_the_environment_of_its_driver(
    engine: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSBENCH_TEST", "set after the server began")
    with Processes(1) as other:
        assert other.submit(os.getenv, "CAPSBENCH_TEST").result(PATIENCE) is not None


def test_who_asks_all_processes_to_leave_does_not_end_the_server(engine: Processes) -> None:
    worker, server = (engine.submit(call).result(PATIENCE) for call in (os.getpid, os.getppid))
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(server, number)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while alive(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        found = engine.submit(os.getppid).result(PATIENCE)
    except BrokenExecutor:  # the worker's end was not yet known
        found = engine.submit(os.getppid).result(PATIENCE)
    assert found == server


def test_a_worker_ends_whose_server_was_killed(engine: Processes, tmp_path: Path) -> None:
    """The driver starts its run again, and two workers would write into one folder."""
    place = tmp_path / "processes"
    future = engine.submit(linger, place)
    deadline = time.monotonic() + PATIENCE
    while not (place.exists() and place.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker, server = map(int, place.read_text().split())
    os.kill(server, signal.SIGKILL)
    with pytest.raises(BrokenExecutor):
        future.result(PATIENCE)
    while alive(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert engine.submit(os.getppid).result(PATIENCE) not in (server, os.getpid())
