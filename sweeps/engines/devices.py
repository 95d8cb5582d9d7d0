"""Which GPUs the workers of this machine see."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_devices(count: int, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names the GPUs that this process may use, as the user or a batch system has chosen them.

    Args:
        count: how many GPUs PyTorch sees in this process.
        environment: the variables of this process.

    Returns:
        Numbers, UUIDs or MIG names, as $CUDA_VISIBLE_DEVICES has them; without the variable, the
        numbers from 0.
    """
    chosen = environment.get(VARIABLE)
    if chosen is None:
        return tuple(map(str, range(count)))
    names = tuple(name.strip() for name in chosen.split(",") if name.strip())
    # CUDA shows a process only the first of several MIG devices, and each can serve a worker.
    if count and all(name.startswith("MIG-") for name in names):
        return names
    # CUDA ends the list at the first name that it does not know.
    return names[:count]


def gpu_environment(worker: int, devices: Sequence[str]) -> dict[str, str]:
    """Makes the environment in which a worker sees one GPU: its own, while there are enough.

    Args:
        worker: the number of the worker, from 0.
        devices: the names of the GPUs; none leaves the environment as it is.

    Returns:
        The variables that differ from the driver's.
    """
    return {VARIABLE: devices[worker % len(devices)]} if devices else {}
