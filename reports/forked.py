"""Shares independent work among forked processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

FEWEST = 4
"""Items that a process must have, so that it is worth its start."""


def in_processes(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Calls `work` with each item; on Linux, several processes share the items.

    The processes are forks, so neither `work` nor an item is pickled. They end within one item if
    this process ends.

    Args:
        work: what to do with an item; it leaves its result in a file.
        items: the items; their order must not matter.

    Raises:
        Exception: what `work` raises, here or in another process.
    """
    count = min(_processors(), len(items) // FEWEST)
    shares = [items[first::count] for first in range(count)] or [items]
    context = multiprocessing.get_context("fork" if count > 1 else None)
    others = [
        context.Process(target=_work_beside, args=(work, share, os.getpid()))
        for share in shares[1:]
    ]
    with warnings.catch_warnings():
        # Of the other threads, which are numpy's and Arrow's, the forks use none.
        warnings.filterwarnings("ignore", ".* multi-threaded, use of fork", DeprecationWarning)
        for process in others:
            process.start()
    _work(work, shares[0])
    for process, share in zip(others, shares[1:], strict=True):
        process.join()
        if process.exitcode:
            _work(work, share)  # raises here what the other process could not report


def _work(work: Callable[[Item], None], share: Sequence[Item]) -> None:
    for item in share:
        work(item)


def _work_beside(work: Callable[[Item], None], share: Sequence[Item], parent: int) -> None:
    try:
        for item in share:
            if os.getppid() != parent:
                break
            work(item)
    except BaseException:
        os._exit(1)  # without a trace: the parent repeats this share, and raises


def _processors() -> int:
    """Returns how many processors forks may use: one where forks are not safe."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
