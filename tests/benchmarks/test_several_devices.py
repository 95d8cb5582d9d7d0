"""Tests that a run on several devices is a pure function of its spec, and is never left hanging."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from benchmarks import interrupts, own_variants
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.spec import Budget, RunSpec
from benchmarks.runs import device_processes, journal
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.device_processes import LostDeviceError, further_processes
from benchmarks.runs.restoration import evaluate, final_of
from benchmarks.runs.trained import load_model
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.specification import Machine, specify
from sweeps import worker_server
from tests.benchmarks.test_own_variants import forget
from tests.benchmarks.test_run import NOWHERE, made, made_until_checkpoint, spec_of
from tests.narrowing import present
from tests.process_helpers import alive

PATIENCE = 60


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks further processes from the server of workers, whose imports they share.

    They are spawned otherwise, and each imports for seconds.
    """
    context = worker_server.process_context(has_gpu=False)
    forking = SimpleNamespace(get_context=lambda name: context)
    monkeypatch.setattr(device_processes, "multiprocessing", forking)


def shared(spec: RunSpec, devices: int = 2) -> RunSpec:
    """Returns the spec of the same run on several devices."""
    return RunSpec.model_validate({**spec.model_dump(), "devices": devices})


def test_specs_of_one_device_keep_their_ids() -> None:
    spec = RunSpec(
        variant="linear",
        dataset="mnist",
        role="trial",
        hyperparameters={"batch_size": 4},
        seed=0,
        budget=Budget(profile="test", epochs=1, validation_samples=10),
        data_sha256="0" * 64,
    )
    assert spec.run_id == "linear-mnist-45fd482561553628"  # as before there were several devices
    assert "devices" not in spec.model_dump(mode="json")
    assert shared(spec).run_id != spec.run_id
    assert RunSpec.model_validate_json(shared(spec).model_dump_json()) == shared(spec)


CLOSE: dict[str, dict[str, Any]] = {
    "capsnet": {
        "conv_channels": 8,
        "primary_capsules": 2,
        "decoder_first": 16,
        "decoder_second": 16,
        "shift": 0,
    },
    "convlstm": {"hidden_channels": 4, "patch_size": 8, "batch_size": 8},
    "cnn": {"width": 4, "shift": 0},
    "pcae": {"presence_noise": 0.0, "presence_between_weight": 1.0},  # of sums over the batch
}
"""Without random numbers in training, which the processes of several devices draw differently."""


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("variant", CLOSE)
def test_one_step_is_close_to_that_of_one_device(variant: str, tmp_path: Path) -> None:
    spec = spec_of(variant, epochs=1, **CLOSE[variant])
    spec = spec.model_copy(update={"budget": spec.budget.model_copy(update={"train_samples": 16})})
    one, two = made(spec, tmp_path), made(shared(spec), tmp_path)
    assert two.status == "complete", two.traceback
    assert one.run_id != two.run_id
    assert one.metrics == pytest.approx(two.metrics, rel=1e-4, abs=1e-5)
    weights, others = (load_model(record, results=tmp_path).model for record in (one, two))
    for name, tensor in weights.state_dict().items():
        other = others.state_dict()[name]
        assert torch.allclose(other, tensor, rtol=1e-3, atol=1e-5), name


@pytest.mark.usefixtures("forked")
def test_a_run_is_bit_equal_again_after_interruptions_and_as_a_final(tmp_path: Path) -> None:
    spec = shared(spec_of("cnn", epochs=2, width=4, dropout=0.3))
    whole = made(spec, tmp_path / "whole")
    assert whole.status == "complete", whole.traceback
    assert made(spec, tmp_path / "again").digest == whole.digest
    made_until_checkpoint(spec, tmp_path / "resumed", kills=2)
    assert not multiprocessing.active_children()
    resumed = made(spec, tmp_path / "resumed")
    assert (resumed.digest, resumed.weights_sha256) == (whole.digest, whole.weights_sha256)
    final = made(final_of(spec), tmp_path / "final")
    assert evaluate(spec.run_id, source=NOWHERE, results=tmp_path / "whole").digest == final.digest


@pytest.mark.usefixtures("forked")
def test_three_devices_resume_bit_equal(tmp_path: Path) -> None:
    """Sums of three numbers depend on their order, which no checkpoint may change."""
    spec = shared(spec_of("linear", epochs=2, batch_size=12), 3)
    whole = made(spec, tmp_path / "whole")
    made_until_checkpoint(spec, tmp_path / "resumed")
    assert made(spec, tmp_path / "resumed").digest == whole.digest


@pytest.mark.usefixtures("forked")
def test_a_run_whose_other_process_is_killed_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = shared(spec_of("linear", epochs=2))
    save = Checkpoints.save_checkpoint

    def save_and_kill(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        (other,) = multiprocessing.active_children()
        os.kill(present(other.pid), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
        patched.setattr(Checkpoints, "save_checkpoint", save_and_kill)
        with pytest.raises(LostDeviceError, match="device 2 of 2, was killed by signal 9"):
            made(spec, tmp_path)
    assert not multiprocessing.active_children()
    folder = RunFolder(tmp_path, spec.run_id)
    assert folder.read_undamaged() is None
    assert Checkpoints(folder.path).step() >= 1
    assert made(spec, tmp_path).digest == made(spec, tmp_path / "whole").digest


BREAKS = """
from models.baselines import Linear
from models.layers.shares import current_share
from models.registry import register


@register("breaks", task="classification")
class Breaks(Linear):
    \"\"\"Fails in the second process alone.\"\"\"

    def loss(self, batch):
        if current_share().rank == 1:
            raise ValueError("the second share is bad")
        return super().loss(batch)
"""


def test_an_error_in_another_process_is_the_reason_of_the_failed_run(tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text(BREAKS)
    forget()
    name = own_variants.named(str(tmp_path / "breaks.py"))
    try:
        spec = specify(
            name,
            "mnist",
            profile=ProfileName.smoke,
            source=NOWHERE,
            machine=Machine(devices=2),
        )
        record = made(spec, tmp_path / "results")
    finally:
        forget()
    assert record.status == "failed"
    assert record.reason == "ValueError: the second share is bad"
    assert record.traceback is not None
    assert ", in loss" in record.traceback


def _leaves(rank: int, ready: Callable[[], None]) -> None:
    ready()
    os._exit(9)


def test_a_process_that_waits_for_a_dead_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """On GPUs, an exchange with a process that has ended may wait for ever."""
    said = threading.Event()
    sentences: list[tuple[str, int]] = []

    def end_process(sentence: str, exit_code: int) -> None:
        sentences.append((sentence, exit_code))
        said.set()

    monkeypatch.setattr(device_processes, "PATIENCE", 0.2)
    monkeypatch.setattr(interrupts, "end_process", end_process)
    with further_processes(1, _leaves) as others:
        others.await_ready()
        assert said.wait(PATIENCE)
    ((sentence, code),) = sentences
    assert "device 2 of 2, was ended with exit code 9" in sentence
    assert code == 2


def _stays(rank: int, ready: Callable[[], None]) -> None:
    ready()
    time.sleep(PATIENCE)


def test_a_signal_to_all_processes_leaves_a_starting_one_alone() -> None:
    with further_processes(1, _stays) as others:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(present(others.processes[0].pid), number)
        others.await_ready()


SLOW = """
import time
from models.baselines import Linear
from models.registry import register


@register("slow", task="classification")
class Slow(Linear):
    \"\"\"Takes its time.\"\"\"

    def loss(self, batch):
        time.sleep(0.05)
        return super().loss(batch)
"""


@pytest.mark.slow
def test_signals_end_all_processes(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    call = [sys.executable, "-m", "benchmarks", "run", str(tmp_path / "slow.py"), "mnist"]
    call += ["--profile", "smoke", "--devices", "2", "--epochs", "500", "--offline"]
    call += ["--results", str(tmp_path), "--set", "batch_size=32"]
    for number, code, stops in (
        (signal.SIGINT, 130, "all"),  # as a terminal does
        (signal.SIGTERM, 143, "all"),  # as Slurm does
        (signal.SIGTERM, 143, "first"),
        (signal.SIGKILL, -9, "first"),
    ):
        process = subprocess.Popen(call, start_new_session=True, stdout=subprocess.DEVNULL)
        before = _lines(tmp_path)
        deadline = time.monotonic() + PATIENCE
        while _lines(tmp_path) <= before and time.monotonic() < deadline:
            time.sleep(0.1)
        members = _members(process.pid)
        assert len(members) >= 2
        (os.killpg if stops == "all" else os.kill)(process.pid, number)
        assert process.wait(PATIENCE) == code
        deadline = time.monotonic() + 10
        while any(map(alive, members)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(alive, members))


def _lines(results: Path) -> int:
    """Counts the epochs that the run has written."""
    files = results.glob("runs/*/metrics.jsonl")
    return sum(path.read_text().count("\n") for path in files)


def _members(session: int) -> list[int]:
    """Lists the processes of a session."""
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(entry.read_text().rsplit(")", 1)[1].split()[3]) == session:
                members.append(int(entry.parent.name))
    return members


def test_what_several_devices_cannot_train_is_refused() -> None:
    machine = Machine(devices=3)
    with pytest.raises(InputError, match="3 devices cannot have equal shares of a batch of 128"):
        specify("linear", "mnist", source=NOWHERE, machine=machine)
    with pytest.raises(InputError, match="kmeans is not trained by gradients"):
        specify("kmeans", "mnist", source=NOWHERE, machine=machine)
    with pytest.raises(ValidationError, match="equal shares of a batch of 16"):
        shared(spec_of("linear"), 3)


def test_an_incomplete_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    spec = shared(spec_of("linear", batch_size=32))
    budget = spec.budget.model_copy(update={"train_samples": 21})
    with pytest.raises(
        InputError, match="2 devices cannot have equal shares of 21 training samples"
    ):
        made(spec.model_copy(update={"budget": budget}), tmp_path)
