"""A sweep's report, made by a process of its own: reports are a room apart, tied by files only."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from benchmarks import interrupts

_LOOK_SECONDS = 0.1


class ReportProcess:
    """The report of a results folder. Told in time that it will be asked for, it is made sooner."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Starts the process that will write it, which then waits. Only the first call does."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command("reports.build_on_request"), stdin=subprocess.PIPE
            )

    def begin(self) -> None:
        """Has the process that was prepared, if any, write the report while the caller goes on."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as line:
                line.write(b"build\n")

    def write(self) -> int:
        """Writes the report, if it is not current, and shows it.

        Returns:
            The exit code.

        Raises:
            Interrupted: if the process is asked to leave; the writing process has then ended.
        """
        with interrupts.grace_period():
            if self._process is not None and (code := _awaited(self._process)) >= 0:
                return code
            return _awaited(subprocess.Popen(self._command("reports")))

    def abandon(self) -> None:
        """Ends the process that was prepared, if any, also while it writes."""
        if self._process is not None:
            self._process.terminate()

    def _command(self, module: str) -> list[str]:
        return [sys.executable, "-m", module, "build", "--results", str(self._results)]


def _awaited(process: subprocess.Popen[bytes]) -> int:
    """Returns the exit code of a process, which ends too if this one is asked to leave."""
    try:
        while True:
            interrupts.raise_if_requested()
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK_SECONDS)
    except BaseException:
        process.terminate()
        process.wait()
        raise
