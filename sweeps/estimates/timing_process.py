"""Times the steps of a sweep's cells in a process of lower priority, while the workers compute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from sweeps.estimates.run_times import RunKind

PATIENCE = 0.3
"""Seconds that a timed step may take: short, so that large batches need little memory."""


class TimingProcess:
    """Times the steps of cells in a process of its own, so that no thread or seed here changes.

    Args:
        results: the results folder, whose `sweep.json` has the options.
        timed: gets the seconds of a run by kind (variant, dataset and role), as they are measured.
    """

    def __init__(self, results: Path, timed: dict[RunKind, float]) -> None:
        self._results, self._timed = results, timed
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Returns whether the process was started."""
        return self._process is not None

    def start(self, cells: Sequence[tuple[str, str]]) -> None:
        """Starts the process.

        Args:
            cells: pairs of the variant's and the dataset's name.
        """
        command = [sys.executable, "-m", "sweeps.estimates.timing_process", str(self._results)]
        self._process = subprocess.Popen(
            [*command, json.dumps(cells)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # without the process, the time left is known later
            text=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        with lines, suppress(ValueError):  # the last line of an ended process may be torn
            for line in lines:
                variant, dataset, role, seconds = json.loads(line)
                self._timed[variant, dataset, role] = seconds

    def join(self) -> None:
        """Waits until all cells are timed, if the process was started."""
        if self._process is not None and self._reader is not None:
            self._reader.join()
            self._process.wait()

    def stop(self) -> None:
        """Ends the process, if it was started."""
        if self._process is not None:
            self._process.terminate()
            self.join()


NICENESS = 10
"""A worker on the same core keeps nine tenths of it, so that the costs of its run stay right."""


def _give_way() -> None:
    """Lowers the priority of this process, and lets it be ended first where memory is short."""
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def print_times(results: Path, cells: Sequence[tuple[str, str]]) -> None:
    """Prints a JSON line [variant, dataset, role, seconds] per kind of run.

    Args:
        results: the results folder of the sweep.
        cells: pairs of the variant's and the dataset's name.
    """
    from sweeps.estimates.run_times import seconds_by_kind
    from sweeps.stored_options import restore_options

    choice = restore_options(results)
    for variant, dataset in cells:
        # Always on the CPU: a GPU's memory belongs to the workers. The estimate scales the times.
        for kind, seconds in seconds_by_kind(variant, dataset, choice, "cpu", patience=PATIENCE):
            print(json.dumps([*kind, seconds]), flush=True)


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep handles Ctrl-C, and ends this process
    _give_way()
    print_times(Path(sys.argv[1]), json.loads(sys.argv[2]))
