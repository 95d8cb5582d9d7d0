"""Which GPUs the workers of this machine see."""

from __future__ import annotations


def gpu_environment(worker: int, gpus: int) -> dict[str, str]:
    """The environment in which the n-th worker sees one GPU: its own, while there are enough."""
    return {"CUDA_VISIBLE_DEVICES": str(worker % gpus)} if gpus else {}
