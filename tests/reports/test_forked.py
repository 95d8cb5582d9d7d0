"""Tests that work which is shared among processes is done whole, and that errors are raised."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from reports import forked
from reports.forked import in_processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork here")


@pytest.mark.parametrize("count", [0, 1, 3, 9, 24])
def test_each_item_is_worked_on_once(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked, "_processors", lambda: 3)

    def work(item: int) -> None:
        with (tmp_path / str(item)).open("x") as file:
            file.write(str(os.getpid()))

    in_processes(work, range(count))
    processes = {path.read_text() for path in tmp_path.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == set(map(str, range(count)))
    assert len(processes) == (0 if count == 0 else max(1, min(3, count // forked.FEWEST)))


def test_an_error_of_another_process_is_raised_here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forked, "_processors", lambda: 2)

    def work(item: int) -> None:
        if item == 5:
            raise OSError(28, "No space left on device", "figure.svg")

    with pytest.raises(OSError, match="No space left"):
        in_processes(work, range(8))
    assert capfd.readouterr() == ("", ""), "one sentence, of the caller, and no traceback"
