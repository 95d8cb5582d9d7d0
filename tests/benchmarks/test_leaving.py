"""SIGTERM and Ctrl-C: a checkpoint, then the end, with the exit code that shells know."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import leaving
from benchmarks.provenance import code_version

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120
LONG = ("run", "cnn", "mnist", "--profile", "standard", "--epochs", "1", "--threads", "1")
SMALL = ("--set", "width=4", "--set", "batch_size=16", "--offline")


def begun(results: Path, script: str = "") -> subprocess.Popen[str]:
    """A single run of thousands of steps, which has begun to train."""
    # A few thousand samples: a stand-in of all would take longer to render than the test.
    prepare = (
        "import sys; from benchmarks import __main__ as command, profiles; load = profiles.load;"
        "few = lambda b: b.model_copy(update={'train_samples': 8000, 'validation_samples': 100});"
        "command.load_profile = lambda name: (p := load(name)).model_copy("
        "update={'budgets': {t: few(b) for t, b in p.budgets.items()}});" + script
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            prepare + "command.main(command.app)",
            *(*LONG, *SMALL, "--results", str(results)),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "BENCH_DATA": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(10 * PATIENCE):
        if list(results.glob("runs/*/metrics.jsonl")):
            return process
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError("it did not begin")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_leaves_at_a_checkpoint(number: signal.Signals, code: int, tmp_path: Path) -> None:
    process = begun(tmp_path)
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, told
    assert "The same command goes on with it" in told
    assert "Traceback" not in told
    [checkpoint] = tmp_path.glob("runs/*/last.ckpt")
    with checkpoint.open("rb") as file:
        head = json.loads(file.readline())
    assert head["code_version"] == code_version()
    assert head["step"] >= 1
    assert not list(tmp_path.glob("runs/*/record.json"))


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    # Steps that end no more: the first Ctrl-C finds no point to leave at.
    script = (
        "import time; from benchmarks.tasks import Task;"
        "Task.training_step = lambda *_: [time.sleep(0.1) for _ in range(1000)];"
    )
    process = begun(tmp_path, script)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C again leaves at once" in process.stderr.readline() + process.stderr.readline()
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode in (1, 130)
    assert time.monotonic() - begin < leaving.GRACE


def test_what_does_not_get_to_a_checkpoint_is_ended(tmp_path: Path) -> None:
    script = (
        "import time; from benchmarks import leaving; from benchmarks.tasks import Task;"
        "leaving.gracefully.__wrapped__.__defaults__ = (0.5,);"
        "Task.training_step = lambda *_: time.sleep(1000);"
    )
    process = begun(tmp_path, script)
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143


def test_signals_ask_only_within(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with leaving.gracefully(60):
        assert not leaving.asked()
        with leaving.gracefully(60):  # a run within a driver
            os.kill(os.getpid(), signal.SIGTERM)
        assert leaving.asked()
        with pytest.raises(leaving.Leave) as left:
            leaving.if_asked()
        assert left.value.exit_code == 143
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers send it to every process, some twice
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert not leaving.asked()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with leaving.gracefully(60):
            os.kill(os.getpid(), signal.SIGINT)
            assert not leaving.asked()
    finally:
        signal.signal(signal.SIGINT, before)
