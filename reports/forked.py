"""Shares independent work among forked processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, ForkProcess
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class SharedWork(Generic[Item, Result]):
    """Calls a function with each of several items; on Linux, forks and this process share them.

    The forks begin at once, this process in `finish`; each takes the next item that nobody has
    taken. Since they are forks, neither function nor items are pickled. They end within one item if
    this process ends. A process with other Python threads does all itself.

    Args:
        work: what to do with an item; the order of the items must not matter.
        items: the items.
        fewest: items that a process must have, so that it is worth its start.
    """

    def __init__(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, fewest: int
    ) -> None:
        self._work, self._items = work, items
        self._forks: list[tuple[ForkProcess, Connection]] = []
        count = min(_processors(), len(items) // fewest)
        if count > 1:
            context = multiprocessing.get_context("fork")
            self._taken = context.Value("q", 0)
            self._forks = [self._fork(context) for _ in range(count - 1)]

    def finish(self) -> list[Result]:
        """Works on the items that are left, and waits for the forks.

        Returns:
            What the function returned, in the order of the items.

        Raises:
            Exception: what the function raises, here or in a fork.
        """
        done = {n: self._work(self._items[n]) for n in self._next_items()} if self._forks else {}
        for process, answer in self._forks:
            with suppress(EOFError):  # it failed, or was killed: its items are done below
                done |= answer.recv()
            process.join()
        numbers = range(len(self._items))
        done |= {n: self._work(self._items[n]) for n in numbers if n not in done}
        return [done[n] for n in numbers]

    def _next_items(self) -> Iterator[int]:
        """Takes items one by one, and yields their numbers; no other process gets the same item."""
        while True:
            with self._taken.get_lock():
                number = self._taken.value
                self._taken.value += 1
            if number >= len(self._items):
                return
            yield number

    def _fork(self, context: ForkContext) -> tuple[ForkProcess, Connection]:
        """Starts a fork; returns it and the pipe that its answer comes from."""
        answer, sent = context.Pipe(duplex=False)
        process = context.Process(target=self._work_beside, args=(sent, os.getpid()))
        with warnings.catch_warnings():
            # Of the other threads, which are numpy's and Arrow's, the fork uses none.
            warnings.filterwarnings("ignore", ".* multi-threaded, use of fork", DeprecationWarning)
            process.start()
        sent.close()
        return process, answer

    def _work_beside(self, sent: Connection, parent: int) -> None:
        done = {}
        try:
            for number in self._next_items():
                if os.getppid() != parent:
                    break
                done[number] = self._work(self._items[number])
            sent.send(done)
        except BaseException:
            os._exit(1)  # in silence: the parent does these items again, and raises


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], *, fewest: int
) -> list[Result]:
    """Calls `work` with each item in several processes, and waits for them: see `SharedWork`."""
    return SharedWork(work, items, fewest=fewest).finish()


def _processors() -> int:
    """Returns how many processors forks may use: one where forks are not safe."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    return len(os.sched_getaffinity(0))
