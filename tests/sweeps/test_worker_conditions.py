"""A Dask worker makes runs only under the driver's conditions: code, libraries, processor."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from sweeps.cluster import RemoteJob, conditions

from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget, RunSpec
from sweeps import cluster
from sweeps.engines import Job, WorkerContext


def job(device: str) -> Job:
    spec = RunSpec(
        variant="linear",
        dataset="usps",
        role="trial",
        hyperparameters={},
        seed=0,
        budget=Budget(profile="smoke", epochs=1, validation_samples=10),
        device=device,
        data_sha256="",
    )
    return Job(spec, "linear-usps-smoke")


@pytest.mark.parametrize("name", ["code_version", "torch", "numpy", "cpu_capability"])
def test_a_worker_under_other_conditions_refuses_a_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "get_worker", lambda: SimpleNamespace(address="tcp://host:1"))
    wanted = {**conditions(job("cpu")), name: "another"}
    errand = RemoteJob(job("cpu"), WorkerContext(DataSource(tmp_path), tmp_path), "", wanted)
    with pytest.raises(
        InputError, match=rf"\({name} was another, is .*\): give both the same code"
    ):
        cluster._run(errand)


def test_a_driver_need_not_have_the_gpu_or_the_processor_of_its_gpu_workers() -> None:
    assert conditions(job("cpu")).keys() - conditions(job("cuda")).keys() == {"cpu_capability"}
