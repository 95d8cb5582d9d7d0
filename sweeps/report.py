"""A sweep's report, made by a process of its own: reports are a room apart, tied by files only."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path


class Report:
    """The report of a results folder. Told in time that it will be asked for, it is made sooner."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._standby: subprocess.Popen[bytes] | None = None

    @property
    def current(self) -> bool:
        """Whether no cell has changed since the report was written."""
        written = self._results / "report" / "index.html"  # the last that is written
        cells = (self._results / "cells").glob("*.json")
        changed = max((path.stat().st_mtime_ns for path in cells), default=0)
        return written.exists() and written.stat().st_mtime_ns > changed

    def prepare(self) -> None:
        """Starts the process that will write it, which then waits. Only the first call does."""
        if self._standby is None:
            self._standby = subprocess.Popen(
                self._command("reports.standby", "build"), stdin=subprocess.PIPE
            )

    def begin(self) -> None:
        """Has the process that was prepared, if any, write the report while the caller goes on."""
        if self._standby is not None and self._standby.stdin is not None:
            with suppress(BrokenPipeError), self._standby.stdin as line:
                line.write(b"build\n")

    def write(self) -> int:
        """Writes and shows it, or only shows it if it is current. Returns the exit code."""
        if self._standby is not None and (code := self._standby.wait()) >= 0:
            return code
        action = "show" if self.current else "build"
        return subprocess.run(self._command("reports", action)).returncode

    def _command(self, module: str, action: str) -> list[str]:
        return [sys.executable, "-m", module, action, "--results", str(self._results)]
