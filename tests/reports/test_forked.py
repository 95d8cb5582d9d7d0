"""Tests that work which is shared among processes is done whole, and that errors are raised."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from reports import forked
from reports.forked import in_processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork here")


@pytest.mark.parametrize("count", [0, 1, 3, 9, 24])
def test_each_item_is_worked_on_once_and_by_all_processes(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked, "_processors", lambda: 3)
    expected = min(3, max(count // 4, min(count, 1)))

    def work(item: int) -> tuple[int, int]:
        (tmp_path / str(os.getpid())).touch()
        until = time.monotonic() + 60
        while len([*tmp_path.iterdir()]) < expected and time.monotonic() < until:
            time.sleep(0.01)
        return item, os.getpid()

    done = in_processes(work, range(count), fewest=4)
    assert [item for item, _ in done] == [*range(count)]
    assert len({process for _, process in done}) == expected


def test_an_error_of_another_process_is_raised_here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forked, "_processors", lambda: 2)

    def work(item: int) -> None:
        if item == 5:
            raise OSError(28, "No space left on device", "figure.svg")

    with pytest.raises(OSError, match="No space left"):
        in_processes(work, range(8), fewest=4)
    assert capfd.readouterr() == ("", ""), "one sentence, of the caller, and no traceback"


def test_the_share_of_a_killed_process_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "_processors", lambda: 2)
    caller = os.getpid()

    def work(item: int) -> int:
        if os.getpid() != caller:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert in_processes(work, range(8), fewest=4) == [*range(8)]


def test_a_process_with_threads_is_not_forked() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    assert set(in_processes(lambda _: os.getpid(), range(8), fewest=1)) == {os.getpid()}
    ended.set()
    thread.join()
