"""Tests that SIGTERM and Ctrl-C end a run after a checkpoint, with the usual exit codes."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import interrupts
from benchmarks.commands.cli import main
from benchmarks.records.folders import RunFolder
from benchmarks.records.spec import RunSpec
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.tasks import Task
from tests.benchmarks.test_run import made, spec_of
from tests.narrowing import of_type

PATIENCE = 120

pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


def test_a_run_leaves_at_a_checkpoint_and_resumes_from_it(tmp_path: Path) -> None:
    spec = spec_of("cnn", epochs=2, width=4, dropout=0.3)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        started, child = forked(spec, tmp_path / "left", lambda step: time.sleep(0.2))
        await_byte(started)
        os.kill(child, number)
        assert exit_code(child) == code
    assert Checkpoints(RunFolder(tmp_path / "left", spec.run_id).path).step() >= 2
    assert made(spec, tmp_path / "left").digest == made(spec, tmp_path / "whole").digest


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    def dawdle(step: int) -> None:
        for _ in range(10_000):
            time.sleep(0.01)

    started, child = forked(spec_of("linear"), tmp_path, dawdle)
    await_byte(started)
    os.kill(child, signal.SIGINT)
    time.sleep(0.5)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    begun = time.monotonic()
    os.kill(child, signal.SIGINT)
    assert exit_code(child) == 130
    assert time.monotonic() - begun < interrupts.GRACE - 1


def test_what_reaches_no_checkpoint_in_time_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "GRACE", 0.5)
    started, child = forked(spec_of("linear"), tmp_path, lambda step: time.sleep(PATIENCE))
    await_byte(started)
    os.kill(child, signal.SIGTERM)
    assert exit_code(child) == 143


def test_signals_ask_only_within() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with interrupts.grace_period(60):
        assert not interrupts.stop_requested()
        with interrupts.grace_period(60):  # as a run inside a driver
            os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.stop_requested()
        with pytest.raises(interrupts.Interrupted) as left:
            interrupts.raise_if_requested()
        assert left.value.exit_code == 143
        os.kill(os.getpid(), signal.SIGTERM)  # some schedulers send the signal twice
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert not interrupts.stop_requested()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.grace_period(60):
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupts.stop_requested()
    finally:
        signal.signal(signal.SIGINT, before)


def forked(spec: RunSpec, results: Path, step: Callable[[int], None]) -> tuple[int, int]:
    """Forks a child that makes a run as the command line does, and calls `step` in each step.

    A fork keeps the imports, which take most of the time. Returns a file descriptor to which the
    child writes at its first step, and the id of the child.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        return ours, child
    try:
        with pytest.MonkeyPatch.context() as patched:
            train, marks = Task.training_step, iter(b".")

            def slowly(self: Task, batch: object, index: int) -> object:
                os.write(theirs, bytes(marks))
                step(index)
                return train(self, batch, index)

            patched.setattr(Task, "training_step", slowly)
            main(lambda: made(spec, results))
        os._exit(0)
    except KeyboardInterrupt:
        os._exit(130)  # the exit code of the interpreter after Ctrl-C
    except SystemExit as left:
        os._exit(of_type(int, left.code))
    except BaseException:
        traceback.print_exc()
        os._exit(70)


def await_byte(descriptor: int) -> None:
    assert os.read(descriptor, 1) == b"."
    os.close(descriptor)


def exit_code(child: int) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("it did not leave")
