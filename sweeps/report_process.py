"""Builds the report of a sweep in a process of its own, because sweeps do not import reports."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from benchmarks import interrupts

_LOOK_SECONDS = 0.1


class ReportProcess:
    """Builds the report of a results folder; `prepare` starts its slow imports early.

    Args:
        results: the results folder.
    """

    def __init__(self, results: Path) -> None:
        self._results = results
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Starts the process that builds the report, which then waits. Later calls do nothing."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command("reports.build_on_request"), stdin=subprocess.PIPE
            )

    def begin(self) -> None:
        """Lets the prepared process, if any, build the report while the caller goes on."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as line:
                line.write(b"build\n")

    def write(self) -> int:
        """Waits until the report is up to date; the building process prints a summary.

        Returns:
            The exit code of the building process.

        Raises:
            Interrupted: if this process was asked to stop; the building process has then ended.
        """
        with interrupts.grace_period():
            if self._process is not None and (code := _awaited(self._process)) >= 0:
                return code
            return _awaited(subprocess.Popen(self._command("reports")))

    def abandon(self) -> None:
        """Ends the prepared process, if any, even while it builds the report."""
        if self._process is not None:
            self._process.terminate()

    def _command(self, module: str) -> list[str]:
        return [sys.executable, "-m", module, "build", "--results", str(self._results)]


def _awaited(process: subprocess.Popen[bytes]) -> int:
    """Waits for a process and returns its exit code; ends it if this process is asked to stop."""
    try:
        while True:
            interrupts.raise_if_requested()
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK_SECONDS)
    except BaseException:
        process.terminate()
        process.wait()
        raise
