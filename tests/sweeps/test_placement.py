"""Tests where runs are computed: chosen GPUs, quotas of cores, limits of open files. Needs no
GPU.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from benchmarks.provenance import provenance
from benchmarks.records.errors import InputError
from sweeps import cores
from sweeps.cores import usable_cores
from sweeps.engines import Processes
from sweeps.engines.devices import gpu_environment, visible_devices
from sweeps.options import Device, EngineName, Options
from sweeps.placement import Placement, place_runs
from sweeps.stored_options import save_options


def chosen(**options: object) -> Options:
    return Options(data=Path("no-such-folder"), **options)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("variable", "count", "names"),
    [
        (None, 3, ("0", "1", "2")),
        ("4,7", 2, ("4", "7")),
        (" 4 , 7 ", 2, ("4", "7")),
        ("GPU-8932f937,GPU-463b3e44", 2, ("GPU-8932f937", "GPU-463b3e44")),
        # CUDA shows a process one MIG device, though the user has chosen two.
        ("MIG-a/7/0,MIG-b/7/0", 1, ("MIG-a/7/0", "MIG-b/7/0")),
        ("MIG-a", 0, ()),
        ("3,-1,5", 1, ("3",)),
        ("", 0, ()),
    ],
)
def test_workers_get_the_gpus_that_the_user_chose(
    variable: str | None, count: int, names: tuple[str, ...]
) -> None:
    environment = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    assert visible_devices(count, environment) == names


def test_each_worker_sees_one_gpu() -> None:
    seen = [gpu_environment(worker, ("4", "7")) for worker in range(3)]
    assert seen == [{"CUDA_VISIBLE_DEVICES": name} for name in ("4", "7", "4")]
    assert gpu_environment(0, ()) == {}


@pytest.mark.usefixtures("two_gpus")
def test_there_are_as_many_workers_as_gpus_and_each_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8932f937")
    placement = place_runs(chosen())
    assert (placement.device, placement.workers) == ("cuda", 2)
    assert placement.devices == ("4", "GPU-8932f937")
    place_runs(chosen(workers=3)).announce()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("capsbench: runs are computed on cuda: --device auto, and")
    assert lines[1:] == [
        "capsbench: GPU 4: workers 1, 3 of 3",
        "capsbench: GPU GPU-8932f937: worker 2 of 3",
    ]


def test_a_worker_process_sees_its_gpu_and_records_it() -> None:
    with Processes(2, ("MIG-a", "7")) as engine:
        futures = [engine.submit(recorded) for _ in range(2)]
        assert {future.result(120) for future in futures} == {"MIG-a", "7"}


def recorded() -> str | None:
    return provenance().visible_devices


@pytest.mark.usefixtures("no_gpu")
def test_auto_says_why_it_chose_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    placement = place_runs(chosen(workers=1))
    placement.announce()
    assert (placement.device, placement.devices) == ("cpu", ())
    assert capsys.readouterr().err == (
        "capsbench: runs are computed on cpu: --device auto, and PyTorch finds no GPU on this "
        "machine\n"
    )
    with pytest.raises(InputError, match="no GPU"):
        place_runs(chosen(device=Device.cuda))


@pytest.mark.usefixtures("no_gpu")
def test_a_driver_without_a_gpu_drives_workers_that_have_one() -> None:
    placement = place_runs(chosen(device=Device.cuda, scheduler="tcp://192.0.2.1:8786"))
    assert (placement.device, placement.devices) == ("cuda", ())


@pytest.mark.usefixtures("two_gpus")
def test_a_sweep_keeps_the_device_that_auto_chose_for_it(tmp_path: Path) -> None:
    """Its studies refuse another device, so `resume` may not choose again."""
    save_options(chosen(device=Device.cpu), tmp_path)
    assert place_runs(chosen(), tmp_path).device == "cpu"
    assert place_runs(chosen(), tmp_path / "another").device == "cuda"


@pytest.mark.usefixtures("no_gpu")
def test_a_sweep_of_gpus_is_not_sent_to_the_cpu(tmp_path: Path) -> None:
    """`resume` has no option `--device`, and the studies refuse another device."""
    save_options(chosen(device=Device.cuda), tmp_path)
    for device in (Device.auto, Device.cuda):
        with pytest.raises(InputError, match="is computed by NVIDIA GPUs, and PyTorch finds none"):
            place_runs(chosen(device=device), tmp_path)


CGROUPS = {
    "version 2": ("0::/job", {"sys/fs/cgroup/job/cpu.max": "150000 100000"}, 2),
    "of a parent": ("0::/slice/job", {"sys/fs/cgroup/slice/cpu.max": "50000 100000"}, 1),
    "none": ("0::/job", {"sys/fs/cgroup/job/cpu.max": "max 100000"}, 8),
    "version 1": (
        "4:cpu,cpuacct:/docker/x",
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        3,
    ),
    "version 1, none": (
        "4:cpu:/",
        {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        8,
    ),
}


@pytest.mark.parametrize("kind", CGROUPS)
def test_a_quota_of_processor_time_limits_the_workers(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, files, cores_wanted = CGROUPS[kind]
    for name, content in {"proc/self/cgroup": f"1:memory:/y\n{group}", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert usable_cores(tmp_path) == cores_wanted


@pytest.mark.usefixtures("no_gpu")
def test_the_limit_of_open_files_bounds_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    monkeypatch.setattr(cores, "usable_cores", lambda: 500)
    most = (1024 - cores.FILES_OF_DRIVER) // cores.FILES_PER_WORKER
    assert place_runs(chosen()).workers == most
    assert asked == [(1024, 1024)]  # as far as a process may
    assert place_runs(chosen(workers=most)).workers == most
    with pytest.raises(InputError, match=f"--workers {most + 1}: .* give --workers {most} or less"):
        place_runs(chosen(workers=most + 1))
    assert place_runs(chosen(workers=500, engine=EngineName.inline)) == Placement(
        "cpu", "--device auto, and PyTorch finds no GPU on this machine", 1
    )


def test_a_worker_needs_no_more_files_than_are_counted() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Processes(4) as engine:
        futures = [engine.submit(sum, (1, 2)) for _ in range(4)]
        for future in futures:
            future.result(120)
        after = len(list(Path("/proc/self/fd").iterdir()))
    assert after - before <= 4 * cores.FILES_PER_WORKER + cores.FILES_OF_DRIVER // 2
