"""Tests `--engine slurm` on a real Slurm of one machine, which the tests start themselves."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.records.errors import InputError
from benchmarks.specs.profiles import ProfileName
from sweeps.__main__ import app
from sweeps.engines import slurm
from sweeps.options import Device, EngineName, Options
from sweeps.placement import place_runs
from sweeps.slurm_options import SlurmOptions
from sweeps.sweep import sweep
from tests import slurm_cluster

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 400

WHY_NOT = slurm_cluster.missing() or (
    None if importlib.util.find_spec("dask_jobqueue") else "dask-jobqueue is not installed"
)
with_slurm = pytest.mark.skipif(WHY_NOT is not None, reason=f"Slurm cannot be started: {WHY_NOT}")


@pytest.fixture(scope="module")
def machine() -> Iterator[dict[str, str]]:
    # Sockets need a short path.
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        slurm_cluster.one_machine(Path(folder)) as environment,
    ):
        path = f"{ROOT}:{environment.get('PYTHONPATH', '')}"
        yield environment | {"OMP_NUM_THREADS": "1", "BENCH_DATA": "", "PYTHONPATH": path}


def swept(
    results: Path, environment: dict[str, str], trials: int, *options: str
) -> subprocess.CompletedProcess[str]:
    asked = f"--profile quick --only linear/mnist --trials {trials} --finals 1 --offline"
    command = [sys.executable, "-m", "sweeps", "run", *asked.split(), "--results", str(results)]
    return subprocess.run(
        [*command, "--engine", "slurm", "--slurm-memory", "1GB", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def digests(results: Path) -> dict[str, str]:
    records = (json.loads(path.read_bytes()) for path in results.glob("runs/*/record.json"))
    return {record["run_id"]: record["digest"] for record in records}


def alone(results: Path, trials: int) -> dict[str, str]:
    choice = Options(
        profile=ProfileName.quick,
        data=results / "no-data",
        only=("linear/mnist",),
        engine=EngineName.inline,
        trials=trials,
        finals=1,
        offline=True,
    )
    sweep(choice, results)
    return digests(results)


def jobs_there(environment: dict[str, str]) -> str:
    command = ["squeue", "--me", "--noheader"]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
@with_slurm
def test_jobs_that_reach_their_time_limit_are_replaced_and_figures_stay(
    machine: dict[str, str], tmp_path: Path
) -> None:
    """The run takes longer than a job may, so it can end only if it resumes from checkpoints."""
    slow = machine | {"DASK_DISTRIBUTED__WORKER__PRELOAD": '["tests.sweeps.slowly"]'}
    options = ("--workers", "1", "--slurm-partition", "short", "--slurm-time", "00:01:00")
    done = swept(tmp_path / "slurm", slow, 0, *options)
    assert done.returncode == 0, done.stderr
    assert "has ended; its worker is replaced" in done.stderr
    assert "begun again" in done.stderr
    assert "runs are computed on cpu: each Slurm job asks for no GPU" in done.stderr
    assert digests(tmp_path / "slurm") == alone(tmp_path / "alone", 0)
    assert jobs_there(machine) == ""
    cancelled = "".join(p.read_text() for p in (tmp_path / "slurm" / "slurm").glob("*.err"))
    assert "DUE TO TIME LIMIT" in cancelled


@with_slurm
def test_what_slurm_refuses_is_one_sentence(machine: dict[str, str], tmp_path: Path) -> None:
    done = swept(tmp_path, machine, 1, "--workers", "1", "--slurm-partition", "long")
    assert done.returncode == 2
    assert "Slurm refuses such a job" in done.stderr
    assert "partition" in done.stderr.lower().partition("refuses")[2]
    assert "Traceback" not in done.stderr


@with_slurm
def test_jobs_whose_worker_cannot_start_end_the_sweep(
    machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise jobs would be submitted for ever, and the sweep would wait without a message."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, machine[name])
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    asked = SlurmOptions(memory="1GB", time="10")
    engine = slurm.start_slurm_jobs(asked, 1, threads=1, results=tmp_path, needs_gpu=False)
    try:
        with pytest.raises(InputError, match="ended before their worker joined"):
            engine.submit(os.getpid).result(PATIENCE)
    finally:
        engine.shutdown(cancel_futures=True)


def test_without_slurm_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no command sbatch"):
        slurm.start_slurm_jobs(SlurmOptions(), 1, threads=1, results=tmp_path, needs_gpu=False)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--slurm-time", "soon", "'soon' is no time limit: write one such as 04:00:00"),
        ("--slurm-memory", "8", "'8' is no size of memory: write one such as 8GB"),
    ],
)
def test_an_impossible_request_names_its_option(
    option: str, value: str, reason: str, tmp_path: Path
) -> None:
    arguments = ["run", "--only", "linear/mnist", "--dry-run", "--results", str(tmp_path)]
    with pytest.raises(InputError, match=f"^{re.escape(f'{option}: {reason}')}"):
        app([*arguments, option, value], standalone_mode=False)


def test_the_device_of_slurm_jobs_is_what_each_asks_for() -> None:
    choice = Options(data=Path("no-such-folder"), engine=EngineName.slurm, workers=3)
    assert (place_runs(choice).device, place_runs(choice).workers) == ("cpu", 3)
    with_gpu = choice.model_copy(update={"slurm": SlurmOptions(devices=1)})
    assert (place_runs(with_gpu).device, place_runs(with_gpu).devices) == ("cuda", ())
    with pytest.raises(InputError, match="--slurm-devices 1"):
        place_runs(choice.model_copy(update={"device": Device.cuda}))
    with pytest.raises(InputError, match="give it as --workers"):
        place_runs(choice.model_copy(update={"workers": None}))
