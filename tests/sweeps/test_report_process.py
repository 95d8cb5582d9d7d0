"""Tests that the process which writes a sweep's report ends with the sweep."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks import interrupts
from sweeps.report_process import ReportProcess
from tests.process_helpers import alive

WRITER = """
import os, sys, time
path = sys.argv[1]
open(path + ".part", "w").write(str(os.getpid()))
os.replace(path + ".part", path)
time.sleep(60)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_signal_while_the_report_is_written_ends_its_process(
    number: signal.Signals,
    code: int,
    prepared: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = tmp_path / "process"
    command = [sys.executable, "-c", WRITER, str(writer)]
    monkeypatch.setattr(ReportProcess, "_command", lambda *_: command)
    report = ReportProcess(tmp_path)
    if prepared:
        report.prepare()
        report.begin()

    def interrupt() -> None:
        while not writer.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    begun = time.monotonic()
    with pytest.raises(interrupts.Interrupted) as left:
        report.write()
    assert left.value.exit_code == code
    assert not alive(int(writer.read_text()))
    assert time.monotonic() - begun < 30
