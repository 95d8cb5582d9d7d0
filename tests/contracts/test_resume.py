"""Tests that every trained variant resumes bit-equal from a checkpoint in the middle of an epoch.

The runs are finals: they do all that trials do, and also score floors and test data.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.datasets.dataset import DataSource
from benchmarks.records.folders import RunFolder
from benchmarks.records.spec import DeviceName, RunSpec
from benchmarks.runs import journal
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.run import run
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.specification import Machine, specify
from benchmarks.tasks import autoencoding
from benchmarks.wandb_options import WandbOptions
from models import registry

NOWHERE = DataSource(Path("no-such-folder"))
BUDGET = {"epochs": 2, "train_samples": 12, "validation_samples": 10, "test_samples": 10}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
"""A machine with a GPU trains, resumes and repeats every variant there too."""
DATASETS = {"classification": "usps", "autoencoding": "usps", "prediction": "mnist"}


def spec_of(name: str, device: DeviceName) -> RunSpec:
    """Specifies a final of a variant, and a base of as few samples if it needs one."""
    dataset = DATASETS[registry.available()[name].task]
    how: dict[str, Any] = {
        "profile": ProfileName.smoke,
        "hyperparameters": {"batch_size": 4},
        "seed": 1,
        "budget": BUDGET,
        "source": NOWHERE,
        "machine": Machine(threads=1, device=device),
    }
    base_variant = registry.variant(name).base_variant
    base = None
    if base_variant is not None:
        base = specify(base_variant, dataset, role="base", budget_role="final", **how)
    return specify(name, dataset, role="final", base=base, **how)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", registry.available())
def test_a_run_resumes_in_the_middle_of_an_epoch(
    name: str, device: DeviceName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer than there are, so that the last test fits probes anew.
    monkeypatch.setattr(autoencoding, "PROBE_SAMPLES", 10)
    spec = spec_of(name, device)
    make = partial(run, source=NOWHERE, log=WandbOptions(off=True))
    whole = make(spec, results=tmp_path / "whole")
    assert whole.status == "complete", whole.traceback
    if whole.epochs == 0:
        pytest.skip("it is not trained by steps")
    if spec.base is not None:
        make(spec.base, results=tmp_path / "killed")
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    save, saved = Checkpoints.save_checkpoint, []

    def save_and_die(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        saved.append(Checkpoints(RunFolder(tmp_path / "killed", spec.run_id).path).step())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save_checkpoint", save_and_die)
        for _ in range(4):
            with pytest.raises(KeyboardInterrupt):
                make(spec, results=tmp_path / "killed")
    assert saved == [1, 2, 3, 4]  # three steps are an epoch
    resumed = make(spec, results=tmp_path / "killed")
    assert resumed.digest == whole.digest
    assert resumed.weights_sha256 == whole.weights_sha256
