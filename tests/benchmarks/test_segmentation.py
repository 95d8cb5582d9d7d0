"""Tests the segmentation of constellations, as a task and from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import datasets, tasks
from benchmarks.commands.run_command import make_run
from benchmarks.commands.run_options import RunOptions
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Budget
from benchmarks.specs.profiles import ProfileName
from models.ccae import CCAE, CCAEConfig
from models.variant import Coded, Points, PointShape
from tests.narrowing import of_type, present

NAME = "constellations"
NOWHERE = DataSource(Path("no-such-folder"))
BUDGET = Budget(profile="test", epochs=1, train_samples=64, validation_samples=20, test_samples=20)
TINY = {"attention_layers": 1, "attention_dims": 8, "attention_out": 8, "hidden": 8}


def run(variant: str, results: Path) -> RunRecord:
    given = dict(TINY) if variant == "ccae" else {}
    choice = RunOptions(profile=ProfileName.smoke, final=True, hyperparameters=given, offline=True)
    return make_run(variant, NAME, choice, data=NOWHERE.root, results=results)


def test_splits_differ_and_training_sets_are_new_each_epoch() -> None:
    data = datasets.find(NAME).load("autoencoding", budget=BUDGET, source=NOWHERE, seed=0)
    some = torch.arange(20)
    first = data.train.gather(some, 0)
    assert not torch.equal(first[0], data.train.gather(some, 1)[0])
    assert torch.equal(data.test.gather(some, 0)[0], data.test.gather(some, 1)[0])
    assert not torch.equal(
        data.test.gather(some, 0)[0], present(data.validation).gather(some, 0)[0]
    )
    assert not torch.equal(first[0], data.test.gather(some, 0)[0])


def test_accuracy_is_over_present_points_and_forgets() -> None:
    data = datasets.find(NAME).load("autoencoding", budget=BUDGET, source=NOWHERE, seed=0)
    model = CCAE(shape=of_type(PointShape, data.shape), config=CCAEConfig(**TINY))
    task = tasks.task_class("autoencoding", NAME)(model, data, seed=0)
    batch = data.test.gather(torch.arange(20), 0)
    assert isinstance(batch, Points)
    names = torch.tensor([2, 0, 1])
    task.update(Coded(torch.zeros(20, 3), segments=names[batch.pattern]), batch)
    assert task.compute() == {"segmentation_accuracy": 1.0}
    task.update(Coded(torch.zeros(20, 3), segments=torch.zeros(20, 11).long()), batch)
    assert 0.4 < task.compute()["segmentation_accuracy"] < 0.8


def test_a_run_on_constellations_records_its_segmentation(tmp_path: Path) -> None:
    record = run("ccae", tmp_path)
    assert record.status == "complete"
    assert record.metric == "segmentation_accuracy"
    assert 0 < record.metrics["test/segmentation_accuracy"] <= 1
    assert record.costs["flops_per_sample"]
    assert list((tmp_path / "runs" / record.run_id).rglob("*.png"))


@pytest.mark.parametrize("variant", ["linear", "copy-last", "pcae"])
def test_variants_that_read_images_say_so(variant: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be trained on constellations: only ccae can"):
        run(variant, tmp_path)
