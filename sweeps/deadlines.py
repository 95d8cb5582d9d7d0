"""The driver's limit on the time without a sign of life from a run. Importing this is fast."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.records.folders import RunFolder

HUNG = "hung.txt"
"""The file in a run's folder that a worker opens when it begins: see watchdog.py."""

MARGIN = 60.0
"""Seconds that the driver waits longer than a worker's own limit, which ends a run with a trace."""


@dataclass
class Deadlines:
    """Finds runs whose folder has shown no new epoch for too long.

    A worker that is stopped, or whose machine is unreachable, cannot keep its own limit.

    Args:
        results: the results folder.
        seconds: the workers' own limit from epoch to epoch; None: there is no limit.
    """

    results: Path
    seconds: float | None
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By run id: the size of `metrics.jsonl`, and since when it has this size."""

    def begin(self, run_id: str) -> None:
        """Starts the time of a run."""
        self._seen[run_id] = (self._size(run_id), time.monotonic())

    def end(self, run_id: str) -> None:
        """Ends the time of a run."""
        self._seen.pop(run_id, None)

    def overdue(self, *, remote: bool) -> set[str]:
        """Finds the runs that are overdue.

        Args:
            remote: whether workers may be where they do not see the results folder. A run that
                leaves nothing there then has no limit; Dask removes a worker that is silent for
                five minutes.

        Returns:
            Their ids.
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
