"""Finds runs that show no progress for too long, for the driver. Importing this is fast."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.records.folders import RunFolder

HUNG = "hung.txt"
"""The file in a run's folder that a worker opens when it starts the run: see watchdog.py."""

MARGIN = 60.0
"""Seconds by which the driver's limit exceeds a worker's own, at which it writes a traceback."""


@dataclass
class Deadlines:
    """Finds runs that have recorded no new epoch for too long.

    A worker that is stopped, or whose machine is unreachable, cannot enforce its own limit.

    Args:
        results: the results folder.
        seconds: the workers' own limit from epoch to epoch, in seconds; None: there is no limit.
    """

    results: Path
    seconds: float | None
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By run id, the size of `metrics.jsonl` in bytes, and the time when it got this size."""

    def begin(self, run_id: str) -> None:
        """Starts the clock of a run.

        Args:
            run_id: the id of the run.
        """
        self._seen[run_id] = (self._size(run_id), time.monotonic())

    def end(self, run_id: str) -> None:
        """Stops the clock of a run.

        Args:
            run_id: the id of the run.
        """
        self._seen.pop(run_id, None)

    def overdue(self, *, remote: bool) -> set[str]:
        """Finds the runs that are overdue.

        Args:
            remote: whether workers may be on machines without access to the results folder. A run
                that writes nothing there then has no limit; Dask removes a worker that is silent
                for five minutes.

        Returns:
            The ids of the overdue runs.
        """
        if self.seconds is None:
            return set()
        now, found = time.monotonic(), set()
        for run_id, (size, since) in self._seen.items():
            if (current := self._size(run_id)) != size:
                self._seen[run_id] = (current, now)
            elif now - since > self.seconds + MARGIN and not (remote and self._unseen(run_id)):
                found.add(run_id)
        return found

    def _size(self, run_id: str) -> int:
        try:
            return RunFolder(self.results, run_id).metrics.stat().st_size
        except FileNotFoundError:
            return 0

    def _unseen(self, run_id: str) -> bool:
        return not (RunFolder(self.results, run_id).path / HUNG).exists()
