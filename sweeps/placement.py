"""Where the runs of a sweep are computed: on which device, and by how many workers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from benchmarks.cli import require_gpu
from benchmarks.records.errors import InputError
from sweeps import cores
from sweeps.engines.devices import visible_devices
from sweeps.options import Device, EngineName, Options, load_options


@dataclass(frozen=True)
class Placement:
    """Says where the runs of a sweep are computed."""

    device: Literal["cpu", "cuda"]
    reason: str
    """Why this device, in words."""
    workers: int
    """Runs at once. A scheduler's workers are as many as have joined."""
    devices: tuple[str, ...] = ()
    """The GPUs of this machine that its workers get in turn, as $CUDA_VISIBLE_DEVICES names them.
    Empty where models are trained on the CPU, or workers are elsewhere."""

    def announce(self) -> None:
        """Prints the device with the reason, and which worker gets which GPU."""
        print(f"capsbench: runs are computed on {self.device}: {self.reason}", file=sys.stderr)
        for place, name in enumerate(self.devices[: self.workers]):
            served = range(place, self.workers, len(self.devices))
            numbers = ", ".join(str(worker + 1) for worker in served)
            word = "workers" if len(served) > 1 else "worker"
            print(f"capsbench: GPU {name}: {word} {numbers} of {self.workers}", file=sys.stderr)


def place_runs(choice: Options, results: Path | None = None) -> Placement:
    """Decides where the runs of a sweep are computed.

    Args:
        choice: the sweep's options.
        results: the results folder. `--device auto` keeps the device of a sweep that is there,
            whose studies would refuse another one.

    Returns:
        The device, the number of workers, and their GPUs on this machine.

    Raises:
        InputError: if the device is wanted and not there, or cannot be chosen; if there are more
            workers than the limit of open files allows.
    """
    kept = None if results is None else _kept(results)
    if choice.device is Device.auto and kept is not None:
        choice = choice.model_copy(update={"device": kept})
    if choice.engine is EngineName.dask and choice.scheduler is not None:
        return _on_cluster(choice, choice.scheduler)
    if choice.engine is EngineName.slurm:
        return _on_slurm(choice)
    return _here(choice)


def _kept(results: Path) -> Device | None:
    """Reads the device of the sweep in a results folder; None without a sweep."""
    try:
        device = load_options(results).device
    except InputError:
        return None
    return None if device is Device.auto else device


def _on_cluster(choice: Options, scheduler: str) -> Placement:
    """Places runs on a scheduler's workers; this machine needs no GPU."""
    if choice.device is not Device.auto:
        device: Literal["cpu", "cuda"] = "cuda" if choice.device is Device.cuda else "cpu"
        return Placement(device, f"--device {device}, on the workers of {scheduler}", 1)
    from sweeps.engines import dask  # which takes its time

    device, reason = dask.choose_device(scheduler)
    return Placement(device, reason, 1)


def _on_slurm(choice: Options) -> Placement:
    """Places runs on Slurm's nodes, by what each job asks for; this machine needs no GPU."""
    if choice.workers is None:
        raise InputError("--engine slurm: say with --workers how many jobs there may be at once")
    gpus = choice.slurm.devices
    if choice.device is Device.cuda and not gpus:
        raise InputError("--device cuda on Slurm: give --slurm-devices 1, or each job has no GPU")
    if choice.device is Device.cpu or not gpus:
        return Placement("cpu", f"each Slurm job asks for {gpus or 'no'} GPU", choice.workers)
    return Placement("cuda", f"each Slurm job asks for {gpus} GPU", choice.workers)


def _here(choice: Options) -> Placement:
    """Places runs on this machine."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice.device is Device.cuda:
        require_gpu()
    if choice.device is Device.cpu or not count:
        reason = "--device cpu"
        if choice.device is Device.auto:
            reason = "--device auto, and PyTorch finds no GPU here"
        return Placement("cpu", reason, _workers(choice, cores.usable_cores()))
    names = visible_devices(count)
    reason = f"--device {choice.device.value}, and this machine has {len(names)} GPU(s) to use"
    return Placement("cuda", reason, _workers(choice, len(names)), names)


def _workers(choice: Options, default: int) -> int:
    """Counts the workers of this machine. Raises InputError if it cannot have as many."""
    if choice.engine is EngineName.inline:
        return 1
    most = cores.most_processes()
    if choice.workers is None:
        return default if most is None else min(default, most)
    if most is not None and choice.workers > most:
        raise InputError(
            f"--workers {choice.workers}: a process may open too few files here for more than "
            f"{most} (`ulimit -Hn`): give --workers {most} at most, or have the limit raised"
        )
    return choice.workers
