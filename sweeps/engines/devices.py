"""Chooses the GPUs that the workers of this machine see."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_devices(count: int, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names the GPUs that this process may use, as the user or a batch system has chosen them.

    Args:
        count: the number of GPUs that PyTorch finds in this process.
        environment: the environment variables of this process.

    Returns:
        Numbers, UUIDs or MIG names, as in $CUDA_VISIBLE_DEVICES; without this variable, the
        numbers from 0.
    """
    chosen = environment.get(VARIABLE)
    if chosen is None:
        return tuple(map(str, range(count)))
    names = tuple(name.strip() for name in chosen.split(",") if name.strip())
    # CUDA shows a process only the first of several MIG devices, and each can serve a worker.
    if count and all(name.startswith("MIG-") for name in names):
        return names
    # CUDA ignores the rest of the list after the first unknown name.
    return names[:count]


def gpu_environment(worker: int, devices: Sequence[str]) -> dict[str, str]:
    """Makes the environment variables with which a worker sees exactly one GPU.

    Workers get the GPUs in turn, so that several workers share one if there are too few.

    Args:
        worker: the number of the worker, from 0.
        devices: the names of the GPUs; if empty, the worker sees what the driver sees.

    Returns:
        The environment variables that differ from the driver's.
    """
    return {VARIABLE: devices[worker % len(devices)]} if devices else {}
