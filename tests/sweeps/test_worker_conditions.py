"""Tests that a Dask worker needs the code, the libraries and the processor of the driver."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sweeps.engines.cluster_workers import ClusterWorker, ClusterWorkers
from sweeps.engines.remote import Introduction, shared_conditions


def examined(found: dict[str, str | None]) -> ClusterWorker:
    """Makes a cluster examine the conditions of a new worker."""
    introduction = Introduction("host", found, None, None)
    member = ClusterWorker("tcp://host:1", slots=1)
    cluster = ClusterWorkers(cast(Any, None))
    cluster._examine(member, cast(Any, SimpleNamespace(result=lambda: introduction)))
    return member


@pytest.mark.parametrize("name", ["code_version", "torch", "numpy", "cpu_capability"])
def test_a_worker_under_other_conditions_gets_no_run(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert examined(shared_conditions(with_gpu=False)).accepted
    assert not examined({**shared_conditions(with_gpu=False), name: "another"}).accepted
    assert f"than the driver ({name} was" in capsys.readouterr().err


def test_a_driver_need_not_have_the_processor_of_its_gpu_workers() -> None:
    with_cpu, with_gpu = shared_conditions(with_gpu=False), shared_conditions(with_gpu=True)
    assert with_cpu.keys() - with_gpu.keys() == {"cpu_capability"}
