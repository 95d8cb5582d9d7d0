"""The process that local workers are forked from: it imports once what each of them needs.

On Linux, and where no worker has a GPU of its own: CUDA is only safe in processes that share no
history. A worker elsewhere is spawned, and imports for itself.
"""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path

from benchmarks.allocator import keep_freed_memory


def start_worker_server() -> None:
    """Starts the server, which imports while the caller goes on.

    Where it is at work already, or workers may need GPUs or cannot be forked, it does nothing.
    """
    if sys.platform == "linux" and not list(Path("/dev").glob("nvidia[0-9]*")):
        _ensure()


def process_context(*, has_gpu: bool) -> BaseContext:
    """Says how a worker process starts that has a GPU of its own, or none."""
    if sys.platform != "linux" or has_gpu:
        keep_freed_memory()
        return multiprocessing.get_context("spawn")
    _ensure()
    return multiprocessing.get_context("forkserver")


def _ensure() -> None:
    keep_freed_memory()
    multiprocessing.set_forkserver_preload([f"{__package__}.worker_imports"])
    forkserver.ensure_running()
