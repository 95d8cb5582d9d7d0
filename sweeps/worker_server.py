"""Starts the server process from which local workers are forked, so that they share its imports.

The server is used on Linux, for workers without a GPU, because CUDA is not safe in forked
processes. Other workers are spawned, and import what they need themselves.
"""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path

from benchmarks.speed.allocator import keep_freed_memory


def start_worker_server() -> None:
    """Starts the server, which imports while the caller goes on.

    Does nothing if the server runs already, if this machine has NVIDIA GPUs, or if it does not run
    Linux.
    """
    if sys.platform == "linux" and not list(Path("/dev").glob("nvidia[0-9]*")):
        _ensure()


def process_context(*, has_gpu: bool) -> BaseContext:
    """Returns the multiprocessing context that starts a worker process.

    Args:
        has_gpu: whether the worker has a GPU of its own.

    Returns:
        `forkserver` on Linux without a GPU, else `spawn`.
    """
    if sys.platform != "linux" or has_gpu:
        keep_freed_memory()
        return multiprocessing.get_context("spawn")
    _ensure()
    return multiprocessing.get_context("forkserver")


def _ensure() -> None:
    keep_freed_memory()
    multiprocessing.set_forkserver_preload([f"{__package__}.worker_imports"])
    forkserver.ensure_running()
