"""Decides on which device the runs of a sweep are computed, and by how many workers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from benchmarks.commands.cli import require_gpus
from benchmarks.records.errors import InputError
from benchmarks.records.spec import require_computable
from sweeps import cores
from sweeps.engines.devices import visible_devices
from sweeps.options import Device, EngineName, Options
from sweeps.stored_options import load_options


@dataclass(frozen=True)
class Placement:
    """Holds where the runs of a sweep are computed."""

    device: Literal["cpu", "cuda"]
    reason: str
    """Why this device was chosen, in words."""
    workers: int
    """How many runs are computed at the same time. With a scheduler, the number is 1 here, and its
    workers decide."""
    devices: tuple[str, ...] = ()
    """The GPUs of this machine that its workers get in turn, as $CUDA_VISIBLE_DEVICES names them.
    Empty if models are trained on the CPU, or workers are on other machines."""

    def announce(self) -> None:
        """Prints on stderr the device with the reason, and which worker gets which GPU."""
        print(f"capsbench: runs are computed on {self.device}: {self.reason}", file=sys.stderr)
        for place, name in enumerate(self.devices[: self.workers]):
            served = range(place, self.workers, len(self.devices))
            numbers = ", ".join(str(worker + 1) for worker in served)
            word = "workers" if len(served) > 1 else "worker"
            print(f"capsbench: GPU {name}: {word} {numbers} of {self.workers}", file=sys.stderr)


def place_runs(choice: Options, results: Path | None = None) -> Placement:
    """Decides where the runs of a sweep are computed.

    Args:
        choice: the options of the sweep.
        results: the results folder. If it has a sweep, `--device auto` keeps the device of that
            sweep, because its studies would refuse another one.

    Returns:
        The device, the number of workers, and their GPUs on this machine.

    Raises:
        InputError: if the requested device does not exist, no device can be chosen, Slurm gets no
            number of workers, the device cannot compute in the precision, or the limit of open
            files is too low for the workers.
    """
    kept = None if results is None else _kept(results)
    if choice.device is Device.auto and kept is not None:
        choice = choice.model_copy(update={"device": kept})
    if choice.engine is EngineName.dask and choice.scheduler is not None:
        placement = _on_cluster(choice, choice.scheduler)
    elif choice.engine is EngineName.slurm:
        placement = _on_slurm(choice)
    else:
        placement = _here(choice, results if choice.device is kept else None)
    try:
        require_computable(placement.device, choice.precision)
    except ValueError as error:
        raise InputError(str(error)) from None
    return placement


def _kept(results: Path) -> Device | None:
    """Reads the device of the sweep in a results folder; None if it has no sweep."""
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
    from sweeps.engines import dask  # importing Dask is slow

    device, reason = dask.choose_device(scheduler)
    return Placement(device, reason, 1)


def _on_slurm(choice: Options) -> Placement:
    """Places runs on Slurm's nodes, by what each job asks for; this machine needs no GPU."""
    if choice.workers is None:
        raise InputError(
            "--engine slurm needs the largest number of jobs at the same time: give it as --workers"
        )
    gpus = choice.slurm.devices
    if choice.device is Device.cuda and not gpus:
        raise InputError(
            "--device cuda on Slurm: without GPUs no job can train on one: give --slurm-devices 1"
        )
    if choice.device is Device.cpu or not gpus:
        return Placement("cpu", f"each Slurm job asks for {gpus or 'no'} GPU", choice.workers)
    return Placement("cuda", f"each Slurm job asks for {gpus} GPU", choice.workers)


def _here(choice: Options, sweep: Path | None) -> Placement:
    """Places runs on this machine.

    Args:
        choice: the options of the sweep.
        sweep: the results folder, if its sweep has chosen the device before.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice.device is Device.cuda and not count and sweep is not None:
        raise InputError(
            f"the sweep in {sweep} is computed by NVIDIA GPUs, and PyTorch finds none on this "
            "machine: go on with it on a machine that has one"
        )
    if choice.device is Device.cuda:
        require_gpus()
    if choice.device is Device.cpu or not count:
        reason = "--device cpu"
        if choice.device is Device.auto:
            reason = "--device auto, and PyTorch finds no GPU on this machine"
        return Placement("cpu", reason, _workers(choice, cores.usable_cores()))
    names = visible_devices(count)
    reason = f"--device {choice.device.value}, and this machine has {len(names)} GPU(s) to use"
    return Placement("cuda", reason, _workers(choice, len(names)), names)


def _workers(choice: Options, default: int) -> int:
    """Returns the number of workers on this machine.

    Raises:
        InputError: if the limit of open files is too low for the requested number.
    """
    if choice.engine is EngineName.inline:
        return 1
    most = cores.most_processes()
    if choice.workers is None:
        return default if most is None else min(default, most)
    if most is not None and choice.workers > most:
        raise InputError(
            f"--workers {choice.workers}: the limit of open files (`ulimit -Hn`) allows {most} on "
            f"this machine: give --workers {most} or less, or raise the limit"
        )
    return choice.workers
