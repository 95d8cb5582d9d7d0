"""Starts and watches the further processes of a run on several devices.

The first process decides: it alone evaluates, writes files and handles signals, and when it leaves
the training for any reason, it ends the others. They write nothing, so nothing is lost.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from benchmarks import interrupts
from benchmarks.records.errors import InputError

PATIENCE = 20.0
"""Seconds that the first process has to notice that another one has ended: gloo notices at once,
nccl may wait for ever."""

ENDING = 5.0
"""Seconds that a process, whose error the first process has noticed, has to report it."""

_READY = "ready"
_IGNORED = (signal.SIGINT, signal.SIGTERM)
"""Signals that a terminal or a scheduler sends to all processes; the first process handles them."""


class LostDeviceError(InputError):
    """Reports that a process of a run on several devices was killed. The run can be resumed."""


Work = Callable[[int, Callable[[], None]], None]
"""What a further process does: takes its rank, from 1, and a function to call when it is ready."""


@dataclass
class DeviceProcesses:
    """Holds the further processes of a run."""

    processes: Sequence[BaseProcess]
    """By rank, from 1."""
    connections: list[Connection]
    """To each process: `_READY`, and then a pickled exception if it fails."""
    ending: threading.Event = field(default_factory=threading.Event)
    """Set when the first process ends the others."""

    def await_ready(self) -> None:
        """Waits until all processes are ready to train.

        Raises:
            Interrupted: if this process was asked to stop.
            LostDeviceError: if a process was killed.
            Exception: what a process raised.
        """
        for connection in self.connections:
            while not connection.poll(0.1):
                interrupts.raise_if_requested()
            self._read(connection)

    def error(self, seconds: float) -> Exception | None:
        """Returns why a process has ended, if one ends within some seconds.

        Of several errors, that of a killed process comes first, and an error of PyTorch last,
        because the death of one process closes the connections of the others.
        """
        if not wait([process.sentinel for process in self.processes], seconds):
            return None
        time.sleep(0.5)  # others may end because of it, or before it
        errors = []
        for process, connection in zip(self.processes, self.connections, strict=True):
            if process.exitcode:
                try:
                    while True:
                        self._read(connection)
                except Exception as error:
                    errors.append(error)
        return min(
            errors,
            key=lambda e: (not isinstance(e, LostDeviceError), isinstance(e, RuntimeError)),
            default=None,
        )

    def _read(self, connection: Connection) -> None:
        """Reads a message of a process. Raises the error that the process reports, or its loss."""
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            place = self.connections.index(connection)
            process = self.processes[place]
            process.join()
            raise LostDeviceError(
                f"process {process.pid}, which trained on device {place + 2} of "
                f"{len(self.processes) + 1}, was {_end_of(process)}: the checkpoints of the run "
                "are kept; call the same command again to resume"
            ) from None
        if message != _READY.encode():
            raise pickle.loads(message)

    def watch(self) -> None:
        """Ends this process if another one has ended, and this one does not notice it in time."""
        running = {process.sentinel: process for process in self.processes}
        while running and not self.ending.is_set():
            for sentinel in wait(list(running), 1.0):
                process = running.pop(cast(int, sentinel))
                process.join()  # its exit code is known a moment later than its end
                if process.exitcode:
                    if not self.ending.wait(PATIENCE):
                        interrupts.end_process(str(self.error(0)), 2)
                    return

    def end(self) -> None:
        """Kills all processes that have not ended."""
        self.ending.set()
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()


@contextmanager
def further_processes(count: int, work: Work) -> Iterator[DeviceProcesses]:
    """Starts processes, and kills them at the end of the context.

    Where the context ends with an error of PyTorch because a process has ended, the error of that
    process is raised instead.

    Args:
        count: number of processes.
        work: what each process does; it can be pickled.

    Yields:
        The processes.

    Raises:
        LostDeviceError: if a process was killed.
        Exception: what a process or the body of the context raised.
    """
    others = _start(count, work)
    threading.Thread(target=others.watch, daemon=True).start()
    try:
        yield others
    except RuntimeError as error:  # as of a connection that is closed
        cause = others.error(ENDING)
        if cause is None:
            raise
        raise cause from error
    finally:
        others.end()


def _start(count: int, work: Work) -> DeviceProcesses:
    spawn = multiprocessing.get_context("spawn")
    processes, connections = [], []
    resource_tracker.ensure_running()  # otherwise `start` does it, and takes the mask away
    # A process inherits the mask, so that no signal ends it before it ignores the signals.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    try:
        for rank in range(1, count + 1):
            ours, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_do, args=(work, rank, theirs), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return DeviceProcesses(processes, connections)


def _do(work: Work, rank: int, connection: Connection) -> None:
    """Does the work of a process. Only the first process prints and handles signals."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (it stays open until the end)
    try:
        work(rank, lambda: connection.send_bytes(_READY.encode()))
    except BaseException as error:
        with suppress(OSError):
            connection.send_bytes(_pickled(error))
        os._exit(1)
    os._exit(0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _pickled(error: BaseException) -> bytes:
    """Pickles an exception with its stack trace as a note; if this cannot be, its text instead."""
    trace = "".join(traceback.format_exception(error))
    for candidate in (error, RuntimeError(f"{type(error).__name__}: {error}")):
        candidate.add_note(trace)
        with suppress(Exception):
            content = pickle.dumps(candidate)
            pickle.loads(content)
            return content
    raise AssertionError("a RuntimeError can be pickled")


def _end_of(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"killed by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"
