"""Tests that `run(spec)` is a pure function of its spec, also after interruptions."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import pytest
import torch
from pytorch_lightning.utilities import rank_zero_only
from safetensors.torch import load_file

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.task_data import Split, split_validation
from benchmarks.provenance import provenance
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Budget, RunSpec
from benchmarks.runs import checkpoints, journal, recording, run
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.run_views import Views
from benchmarks.runs.wandb_view import WandbView
from benchmarks.wandb_options import WandbOptions
from models import registry
from models.baselines import Linear
from models.variant import Images
from tests.mirror import agrees
from tests.narrowing import present

NOWHERE = DataSource(Path("no-such-folder"))


def spec_of(
    variant: str,
    dataset: str = "mnist",
    *,
    epochs: int = 3,
    role: str = "trial",
    seed: int = 5,
    precision: str = "32-true",
    **settings: object,
) -> RunSpec:
    """Specifies a small run on stand-in data."""
    entry = registry.available()[variant]
    budget = Budget(
        profile="test", epochs=epochs, train_samples=48, validation_samples=20, test_samples=20
    )
    config = registry.variant(variant).Config.model_validate({"batch_size": 16, **settings})
    data = datasets.find(dataset).describe(entry.task, budget=budget, source=NOWHERE)
    return RunSpec(
        variant=variant,
        dataset=dataset,
        role=role,
        hyperparameters=config.model_dump(mode="json"),
        seed=seed,
        budget=budget,
        precision=precision,
        data_sha256=data.sha256,
    )


UNSHOWN = WandbOptions(off=True)
"""Weights & Biases decides no number, and its view takes longer than the small runs of tests."""


def made(spec: RunSpec, results: Path, **how: Any) -> RunRecord:
    """Makes a run, which Weights & Biases does not show unless `log` says so."""
    return run.run(spec, source=NOWHERE, results=results, **{"log": UNSHOWN, **how})


def shown(spec: RunSpec, results: Path, **how: Any) -> RunRecord:
    """Makes a run that Weights & Biases shows, as by default."""
    return run.run(spec, source=NOWHERE, results=results, **how)


CASES: dict[str, dict[str, Any]] = {
    "cnn": {"width": 4, "dropout": 0.3, "shift": 2},
    "capsnet": {"conv_channels": 8, "primary_capsules": 2, "decoder_first": 16},
    "convlstm": {"hidden_channels": 4, "patch_size": 8, "batch_size": 8},
}


def made_until_checkpoint(
    spec: RunSpec, results: Path, kills: int = 1, make: Callable[..., RunRecord] = made
) -> Path:
    """Makes a run that dies after its next checkpoint, one step later, `kills` times."""
    save = Checkpoints.save_checkpoint

    def save_and_die(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
        patched.setattr(Checkpoints, "save_checkpoint", save_and_die)
        for _ in range(kills):
            torch.rand(7)  # earlier random numbers of the process must not matter
            with pytest.raises(KeyboardInterrupt):
                make(spec, results)
    return RunFolder(results, spec.run_id).path


@pytest.mark.parametrize("variant", CASES)
def test_a_run_killed_at_every_step_ends_bit_equal(variant: str, tmp_path: Path) -> None:
    spec = spec_of(variant, epochs=2, **CASES[variant])
    whole = made(spec, tmp_path / "whole")
    steps = 48 // CASES[variant].get("batch_size", 16)
    # Each step has a checkpoint, except the last step of an epoch, which has it after validation.
    # The last epoch has no checkpoint at its end, because the record follows.
    home = made_until_checkpoint(spec, tmp_path / "killed", kills=2 * steps - 1, make=shown)
    assert {path.name for path in home.glob("*.ckpt")} == {"last.ckpt", "previous.ckpt"}
    resumed = shown(spec, tmp_path / "killed")

    assert resumed.digest == whole.digest
    assert resumed.weights_sha256 == whole.weights_sha256
    lines = (RunFolder(tmp_path / "whole", spec.run_id).metrics).read_bytes()
    assert (home / "metrics.jsonl").read_bytes() == lines
    assert not list(home.glob("*.ckpt"))
    assert agrees(home)


def test_the_seconds_are_of_all_the_processes_that_made_a_run(tmp_path: Path) -> None:
    view = cast(Views, None)
    now = time.perf_counter()
    killed = journal.Journal(tmp_path, view, "accuracy", None, started=now - 1000)
    resumed = journal.Journal(tmp_path, view, "accuracy", None, started=now - 100)
    resumed.load_state_dict(killed.state_dict())
    assert resumed.seconds == pytest.approx(1100, abs=60)


def test_the_seed_decides(tmp_path: Path) -> None:
    one, same, other = (
        made(spec_of("cnn", epochs=1, width=4, seed=seed), tmp_path / name)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one.digest == same.digest
    assert one.weights_sha256 != other.weights_sha256


def test_a_record_is_made_once(tmp_path: Path) -> None:
    spec = spec_of("linear", epochs=1)
    record = made(spec, tmp_path)
    path = RunFolder(tmp_path, spec.run_id).record
    before = os.stat(path).st_mtime_ns
    assert made(spec, tmp_path) == record
    assert os.stat(path).st_mtime_ns == before


class Untouchable:
    """Fails if test samples are gathered."""

    def __len__(self) -> int:
        return 20

    def gather(self, index: torch.Tensor, epoch: int) -> NoReturn:
        raise AssertionError("test samples were looked at")


@pytest.mark.parametrize("variant", ["linear", "kmeans", "autoencoder"])
def test_only_finals_see_test_data(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = made(spec_of(variant, epochs=1, role="final"), tmp_path)
    assert {f"test/{name}" for name in final.directions.keys() - final.absent.keys()} <= (
        final.metrics.keys()
    )
    load = ImageDataset.load
    monkeypatch.setattr(
        ImageDataset, "load", lambda *a, **k: replace(load(*a, **k), test=Untouchable())
    )
    trial = made(spec_of(variant, epochs=1), tmp_path)
    assert trial.status == "complete", trial.reason
    assert not any(name.startswith("test/") for name in trial.metrics)
    final = made(spec_of(variant, epochs=1, role="final", seed=6), tmp_path)
    assert final.reason == "AssertionError: test samples were looked at"


def test_what_a_run_leaves(tmp_path: Path) -> None:
    spec = spec_of("capsnet", epochs=2, role="final", **CASES["capsnet"])
    record = made(spec, tmp_path, study="some-study")
    home = RunFolder(tmp_path, spec.run_id).path
    lines = [json.loads(line) for line in (home / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert {"train/loss", "train/loss/margin", "train/loss/reconstruction"} <= lines[0][
        "metrics"
    ].keys()
    for line in lines:
        means = line["metrics"]
        assert means["train/loss"] == pytest.approx(
            means["train/loss/margin"] + 0.0005 * means["train/loss/reconstruction"]
        )
    assert record.history == [line["metrics"]["validation/accuracy"] for line in lines]
    assert record.score == record.history[-1]
    assert (home / "reconstructions.png").stat().st_size > 0
    assert load_file(home / "weights.safetensors")
    assert record.costs["parameters"] == sum(
        t.numel() for t in load_file(home / "weights.safetensors").values()
    )
    assert present(record.costs["flops_per_sample"]) > 0
    assert present(record.costs["train_seconds"]) > 0
    assert present(record.data).state == "stand-in"
    assert record.provenance.versions["torch"] == torch.__version__
    assert RunFolder(tmp_path, spec.run_id).read() == record


def test_a_diverging_run_is_a_failed_record(tmp_path: Path) -> None:
    record = made(spec_of("cnn", width=4, lr=1e30), tmp_path)
    assert record.status == "failed"
    assert present(record.reason).startswith("NonFinite: the loss was ")
    assert present(record.reason).endswith(f"in epoch 1 (step {record.step})")
    assert 1 <= present(record.step) <= 3
    assert "NonFinite" in present(record.traceback)
    again = made(spec_of("cnn", width=4, lr=1e30), tmp_path / "again")
    assert again.digest == record.digest


def test_an_exception_is_a_failed_record(tmp_path: Path) -> None:
    record = made(spec_of("convlstm", hidden_channels=4, patch_size=7), tmp_path)
    assert record.status == "failed"
    assert "7×7" in present(record.reason)
    again = made(spec_of("convlstm", hidden_channels=4, patch_size=7), tmp_path / "again")
    assert again.digest == record.digest


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Process 4711 has 3.14 GiB in use."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 byte"),
        MemoryError(),
    ],
)
def test_out_of_memory_has_one_reason_in_all_forms(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, steps = Linear.loss, []

    def exhaust(self: Linear, batch: Images) -> object:
        steps.append(1)
        if len(steps) == 3:
            raise error
        return loss(self, batch)

    monkeypatch.setattr(Linear, "loss", exhaust)
    record = made(spec_of("linear"), tmp_path)
    assert (record.status, record.step) == ("failed", 2)
    assert record.reason == "OutOfMemory: the memory does not suffice for this run"
    assert type(error).__name__ in present(record.traceback)


def test_data_that_does_not_fit_into_memory_is_a_failed_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is allocated first for data: on a GPU that others fill, this is where a run ends."""

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Process 4711 has 3.14 GiB in use.")

    with monkeypatch.context() as patched:
        patched.setattr(ImageDataset, "load", full)
        record = shown(spec_of("linear"), tmp_path)
    assert (record.status, record.step, record.epochs) == ("failed", 0, 0)
    assert record.reason == "OutOfMemory: the memory does not suffice for this run"
    assert "OutOfMemoryError" in present(record.traceback)
    assert RunFolder(tmp_path, record.run_id).read_undamaged() == record
    assert agrees(RunFolder(tmp_path, record.run_id).path)


SCHEDULERS = {
    "salloc --ntasks=4": {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "4",
        "SLURM_NTASKS_PER_NODE": "4",
    },
    "srun --ntasks=4": {
        "SLURM_JOB_ID": "1",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "3",
        "SLURM_NODEID": "1",
        "SLURM_STEP_NODELIST": "a,b",
    },
    "torchrun": {
        "TORCHELASTIC_RUN_ID": "x",
        "RANK": "3",
        "LOCAL_RANK": "3",
        "GROUP_RANK": "0",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "nowhere",
        "MASTER_PORT": "1",
    },
    "jsrun": {
        "LSB_JOBID": "1",
        "LSB_DJOB_RANKFILE": "no-such-file",
        "JSM_NAMESPACE_LOCAL_RANK": "1",
        "JSM_NAMESPACE_RANK": "1",
        "JSM_NAMESPACE_SIZE": "2",
    },
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_run_is_one_process_whatever_a_scheduler_says(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("linear", epochs=2, role="final")
    alone = made(spec, tmp_path / "alone")
    for name, value in SCHEDULERS[scheduler].items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hpc_ckpt_1.ckpt").write_text("a checkpoint of another project")
    monkeypatch.chdir(tmp_path)
    # Lightning reads the rank when it is imported.
    monkeypatch.setattr(rank_zero_only, "rank", 3)
    record = made(spec, tmp_path)
    assert (record.status, record.reason, record.digest) == ("complete", None, alone.digest)


def test_a_run_works_where_slurm_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning warns where there is a command `srun`, and a warning is an error here."""
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert made(spec_of("linear", epochs=1), tmp_path / "results").status == "complete"


def test_a_run_whose_worker_died_says_how_far_it_came(tmp_path: Path) -> None:
    spec = spec_of("linear", epochs=2)
    home = made_until_checkpoint(spec, tmp_path, kills=4, make=shown)
    record = run.give_up(spec, results=tmp_path, study=None, reason="it died")
    assert (record.status, record.reason, record.step) == ("failed", "it died", 4)
    assert RunFolder(tmp_path, spec.run_id).read_undamaged() == record
    assert agrees(home)
    assert not list(home.glob("*.ckpt"))


LINES = {
    "torn": lambda text: text[:-9],
    "changed": lambda text: text.replace(b"1", b"2", 1),
    "short": lambda text: text[: text.index(b"\n") + 1],
    "nested": lambda text: b"[" * 100_000,
    "removed": None,
}


@pytest.mark.parametrize("damage", LINES)
def test_a_run_whose_metrics_are_damaged_is_made_again(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of("linear", epochs=2)
    record = made(spec, tmp_path)
    path = RunFolder(tmp_path, spec.run_id).metrics
    whole = path.read_bytes()
    assert RunFolder(tmp_path, spec.run_id).read_undamaged() == record
    path.unlink()
    if (change := LINES[damage]) is not None:
        path.write_bytes(change(whole))
    assert made(spec, tmp_path).digest == record.digest
    assert path.read_bytes() == whole
    assert "metrics.jsonl is damaged: the run is re-run" in capsys.readouterr().err


def test_a_pruned_run_keeps_what_it_has(tmp_path: Path) -> None:
    record = made(spec_of("linear"), tmp_path, stop=lambda scores: len(scores) == 2)
    assert (record.status, record.epochs, len(record.history)) == ("pruned", 2, 2)


def test_bfloat16_is_deterministic_too(tmp_path: Path) -> None:
    spec = spec_of("cnn", epochs=1, width=4, precision="bf16-mixed")
    assert made(spec, tmp_path / "a").digest == made(spec, tmp_path / "b").digest


def test_a_failing_mirror_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of("linear", epochs=2)
    whole = made(spec, tmp_path / "whole")
    assert "view" not in capsys.readouterr().err

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionResetError("no one listens")

    for broken in ("init", "Run.log", "Run.finish"):
        with monkeypatch.context() as patched:
            patched.setattr(f"wandb.{broken}", refuse)
            record = shown(spec, tmp_path / broken)
        assert record.digest == whole.digest
        assert capsys.readouterr().err.count("view of") == 1


def test_what_has_a_record_has_a_whole_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed before its record is written is re-run with a new W&B view."""
    spec = spec_of("linear", epochs=1)
    finish, early = WandbView.finish, []

    def finish_and_look(self: WandbView, *arguments: Any, **named: Any) -> None:
        finish(self, *arguments, **named)
        early.append(RunFolder(tmp_path, spec.run_id).read())

    monkeypatch.setattr(WandbView, "finish", finish_and_look)
    shown(spec, tmp_path)
    assert early == [None]
    assert agrees(RunFolder(tmp_path, spec.run_id).path)


def test_an_upload_that_is_interrupted_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("linear", epochs=1)

    def interrupted(self: WandbView, *arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(WandbView, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            shown(spec, tmp_path / "interrupted")
    kept = RunFolder(tmp_path / "interrupted", spec.run_id).read_undamaged()
    assert kept is not None
    assert kept.digest == made(spec, tmp_path / "whole").digest


def elsewhere(patched: pytest.MonkeyPatch, **changed: Any) -> None:
    """Makes this process one of other code, other libraries, or another processor."""
    here = provenance()
    versions = {**here.versions, **changed.pop("versions", {})}
    there = here.model_copy(update={"versions": versions, **changed})
    for module in ("benchmarks.provenance", recording.__name__, checkpoints.__name__):
        patched.setattr(f"{module}.provenance", lambda: there)


ELSEWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "code": ({"code_version": "older"}, "code_version was older, is "),
    "torch": ({"versions": {"torch": "1.0"}}, "torch was 1.0, is "),
    "numpy": ({"versions": {"numpy": "1.0"}}, "numpy was 1.0, is "),
    "processor": ({"cpu_capability": "MMX"}, "cpu_capability was MMX, is "),
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_checkpoint_of_other_conditions_is_not_used(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, named = ELSEWHERE[where]
    spec = spec_of("linear", epochs=2)
    with monkeypatch.context() as patched:
        elsewhere(patched, **changed)
        made_until_checkpoint(spec, tmp_path)
    assert Checkpoints(RunFolder(tmp_path, spec.run_id).path).newest() is None
    assert f"was written under other conditions ({named}" in capsys.readouterr().err


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_run_asked_for_again_under_other_conditions_is_re_run_or_kept_on_request(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, named = ELSEWHERE[where]
    spec = spec_of("linear", epochs=1)
    with monkeypatch.context() as patched:
        elsewhere(patched, **changed)
        old = made(spec, tmp_path)
    assert made(spec, tmp_path, keep=True) == old
    assert capsys.readouterr().err == ""
    new = made(spec, tmp_path)
    assert f"was made under other conditions ({named}" in capsys.readouterr().err
    assert new.provenance == provenance().model_copy(update={"data": new.data})
    replaced = RunFolder(tmp_path, spec.run_id).path / "record.replaced"
    assert json.loads(replaced.read_bytes()) == old.model_dump(mode="json")
    assert made(spec, tmp_path) == new
    assert capsys.readouterr().err == ""


def test_a_base_made_under_other_conditions_is_re_run_with_the_run_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = spec_of("pcae", epochs=1, role="base")
    spec = spec_of("ocae", epochs=1).model_copy(update={"base": base})
    with monkeypatch.context() as patched:
        elsewhere(patched, code_version="older")
        made(base, tmp_path)
    made(spec, tmp_path)
    assert f"run {base.run_id} was made under other conditions" in capsys.readouterr().err


def test_a_dataset_too_small_is_one_sentence() -> None:
    few = Split(np.zeros((30, 1, 4, 4), np.uint8), np.arange(30) % 10)
    with pytest.raises(InputError, match="30 training images are too few"):
        split_validation(few, validation=20, kept=None)


def test_other_data_than_specified_is_one_sentence(tmp_path: Path) -> None:
    spec = spec_of("linear").model_copy(update={"data_sha256": "0" * 64})
    with pytest.raises(InputError, match="other data of mnist"):
        made(spec, tmp_path)


def test_a_torn_record_is_set_aside_and_its_run_re_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of("linear")
    home = RunFolder(tmp_path, spec.run_id).path
    home.mkdir(parents=True)
    (home / "record.json").write_text('{"run_id": "x"')
    record = made(spec, tmp_path)
    assert record.status == "complete"
    assert RunFolder(tmp_path, spec.run_id).read_undamaged() == record
    assert (home / "record.unused").read_text() == '{"run_id": "x"'
    sentence = (
        f"capsbench: {home / 'record.json'} is not JSON: the run is re-run, and the old record"
    )
    assert capsys.readouterr().err.count(sentence) == 1


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    spec = spec_of("linear")
    home = RunFolder(tmp_path, spec.run_id).path
    home.mkdir(parents=True)
    (home / "record.json").write_text('{"run_id": "x"}')
    with pytest.raises(InputError, match=r"record\.json is not a record of this version"):
        made(spec, tmp_path)
    assert (home / "record.json").read_text() == '{"run_id": "x"}'


def test_damaged_weights_are_made_by_a_new_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of("linear", epochs=1)
    record = made(spec, tmp_path)
    weights = RunFolder(tmp_path, spec.run_id).weights
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert made(spec, tmp_path).digest == record.digest
    assert weights.read_bytes() == whole
    assert "weights.safetensors is damaged: the run is re-run" in capsys.readouterr().err


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:-300] + bytes([content[-300] ^ 1]) + content[-299:],
    "emptied": lambda content: b"",
    "foreign": lambda content: b"not a checkpoint",
    "not even UTF-8": lambda content: b"\xff\xfe" + content,
    "nested": lambda content: b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_serves(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("linear", epochs=2)
    home = made_until_checkpoint(spec, tmp_path / "damaged", kills=3)
    last = home / "last.ckpt"
    last.write_bytes(DAMAGES[damage](last.read_bytes()))
    begun = []
    load = Checkpoints.load_checkpoint

    def remember(self: Checkpoints, path: Path, *arguments: Any, **named: Any) -> object:
        begun.append(path.name)
        return load(self, path, *arguments, **named)

    monkeypatch.setattr(Checkpoints, "load_checkpoint", remember)
    record = made(spec, tmp_path / "damaged")
    assert begun == ["previous.ckpt"]
    assert record.digest == made(spec, tmp_path / "whole").digest
    printed = capsys.readouterr().err
    assert "last.ckpt is damaged" in printed
    assert printed.count("damaged (") == 1
    assert (home / "last.unused").exists()


def test_without_a_whole_checkpoint_a_run_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of("linear", epochs=2)
    home = made_until_checkpoint(spec, tmp_path / "damaged", kills=3)
    for name in ("last.ckpt", "previous.ckpt"):
        (home / name).write_bytes(b"{}\n")
    assert made(spec, tmp_path / "damaged").digest == made(spec, tmp_path / "whole").digest
    assert capsys.readouterr().err.count("is damaged") == 2


def test_a_full_disk_leaves_both_checkpoints_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("linear", epochs=2)
    home = made_until_checkpoint(spec, tmp_path / "full", kills=2)
    before = {path.name: path.read_bytes() for path in home.glob("*.ckpt")}
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(f"last.ckpt.{os.getpid()}.tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: .*last\.ckpt"):
            made(spec, tmp_path / "full")
    assert {path.name: path.read_bytes() for path in home.glob("*.ckpt")} == before
    assert not list(home.glob("*.tmp"))
    assert made(spec, tmp_path / "full").digest == made(spec, tmp_path / "whole").digest


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ({"validation_samples": 31}, "--validation-samples 31: .* has 150 .*: give 30 at most"),
        ({"train_samples": 121}, "--train-samples 121: .* has 150 .*: give 120 at most"),
    ],
)
def test_samples_asked_for_beyond_those_there_are_refused(
    asked: dict[str, int], reply: str
) -> None:
    budget = Budget(profile="test", epochs=1, train_samples=50, validation_samples=30)
    how: dict[str, Any] = {"budget": budget, "source": NOWHERE}
    with pytest.raises(InputError, match=reply):
        datasets.find("usps").require_samples("classification", asked=asked, **how)
    datasets.find("usps").require_samples("classification", asked={}, **how)
    datasets.find("moving_mnist").require_samples("classification", asked=asked, **how)
    datasets.find("usps").require_samples("prediction", asked=asked, **how)
