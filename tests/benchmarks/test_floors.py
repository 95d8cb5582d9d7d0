"""Tests floors: the scores of trivial answers and of the untrained network on test data."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from benchmarks import datasets, metrics
from benchmarks.datasets import mnist
from benchmarks.datasets.samples import StillSamples
from benchmarks.datasets.task_data import choose_stratified
from benchmarks.records.spec import Budget, RunSpec
from benchmarks.tasks import probes
from models import registry
from models.variant import Clips
from tests.benchmarks.test_run import NOWHERE, made, spec_of
from tests.benchmarks.test_tasks import task_on
from tests.cells_without_files import CELLS_WITHOUT_FILES
from tests.contracts.test_variants import smoke
from tests.narrowing import of_type, present


@pytest.mark.parametrize(("variant", "dataset"), CELLS_WITHOUT_FILES)
def test_each_cell_has_a_floor_of_its_primary_metric(variant: str, dataset: str) -> None:
    task = task_on(variant, dataset, **smoke(variant, dataset).model_dump())
    floors = task.floors()
    directions = metrics.directions(registry.available()[variant].task, dataset)
    assert any(next(iter(directions)) in scores for scores in floors.values())
    for scores in floors.values():
        assert scores.keys() <= directions.keys()
        assert all(math.isfinite(value) for value in scores.values())


@pytest.mark.parametrize(
    ("variant", "settings"),
    [
        ("linear", {}),
        ("kmeans", {"starts": 1}),
        ("copy-last", {"past": 3, "future": 2}),
        ("tlb-frames", {"patch_size": 16, "dim": 8, "layers": 1, "r": 1, "past": 3, "future": 2}),
        ("ccae", {"attention_dims": 8, "attention_layers": 1, "hidden": 8, "points": 8}),
    ],
)
def test_a_final_records_its_floors(variant: str, settings: dict[str, Any], tmp_path: Path) -> None:
    record = made(spec_of(variant, epochs=1, role="final", **settings), tmp_path)
    assert ("untrained" in record.floors) == (variant not in ("kmeans", "copy-last"))
    assert len(record.floors) > 1 or variant == "kmeans"
    for floor in record.floors.values():
        assert not floor.keys() & record.absent.keys()


def test_floors_change_no_other_number(tmp_path: Path) -> None:
    """A trial, which has no floors, and a final with the same seed are trained equally."""
    trial = made(spec_of("cnn", width=4, dropout=0.3, shift=2), tmp_path)
    final = made(spec_of("cnn", width=4, dropout=0.3, shift=2, role="final"), tmp_path)
    assert trial.floors == {}
    assert final.weights_sha256 == trial.weights_sha256
    assert final.history == trial.history


def test_the_untrained_network_is_the_one_that_training_begins_with(tmp_path: Path) -> None:
    """With a learning rate near zero, the trained network scores as the untrained one does."""
    spec = spec_of("linear", epochs=1, role="final", lr=1e-30, weight_decay=0.0)
    record = made(spec, tmp_path)
    trained = {k.removeprefix("test/"): v for k, v in record.metrics.items() if "test/" in k}
    assert record.floors["untrained"] == trained


def test_the_largest_class_is_that_of_the_training_data() -> None:
    task = task_on("linear", "mnist")
    images = torch.zeros(10, 1, 28, 28, dtype=torch.uint8)
    train = StillSamples(images, torch.tensor([3, 3, 3, 3, 7, 7, 7, 1, 1, 0]))
    test = StillSamples(images, torch.tensor([3, 3, 7, 7, 7, 7, 7, 1, 1, 0]))
    task.data = replace(task.data, train=train, test=test)
    assert task.floors()["largest class"]["accuracy"] == pytest.approx(0.2)


def test_two_labels_are_answered_by_the_two_largest_classes() -> None:
    counts = np.array([5, 1, 9, 7])
    labels = np.array([[2, 3], [3, 2], [0, 2], [2, 2]])
    assert probes.largest_class_accuracy(counts, labels) == 0.5


def test_the_mean_image_is_of_training_targets() -> None:
    task = task_on("autoencoder", "mnist")
    dark, bright = torch.zeros(4, 1, 28, 28), torch.full((4, 1, 28, 28), 255)
    labels = torch.zeros(4, dtype=torch.int64)
    train = StillSamples(torch.cat([dark, bright]).to(torch.uint8), labels.repeat(2))
    task.data = replace(task.data, train=train, test=StillSamples(bright.to(torch.uint8), labels))
    assert task.floors()["mean image"]["mse"] == pytest.approx(0.25)


def test_frames_are_answered_blank_by_their_mean_and_by_the_last() -> None:
    task = task_on("copy-last", "moving_mnist", past=3, future=2)
    floors = task.floors()
    batch = of_type(Clips, task.data.test.gather(torch.arange(len(task.data.test)), 0))
    blank = batch.future.square().sum((2, 3, 4)).mean()
    last = (batch.future - batch.past[:, -1:]).square().sum((2, 3, 4)).mean()
    assert floors["blank frame"]["mse"] == pytest.approx(float(blank), rel=1e-5)
    assert floors["last frame"]["mse"] == pytest.approx(float(last), rel=1e-5)
    assert floors["mean image"]["mse"] < floors["blank frame"]["mse"]


def test_a_point_set_is_answered_by_one_segment() -> None:
    task = task_on("ccae", "constellations", attention_dims=8, hidden=8)
    assert 0.4 < task.floors()["one segment"]["segmentation_accuracy"] < 0.8


def test_a_subset_has_each_class_by_its_share() -> None:
    labels = np.repeat(np.arange(10), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    chosen = choose_stratified(labels, 2000, seed=1)
    assert len(np.unique(chosen)) == len(chosen) == 2000
    counts, expected = np.bincount(labels[chosen]), np.bincount(labels) / 5
    assert np.abs(counts - expected).max() <= 1
    assert np.array_equal(chosen, choose_stratified(labels, 2000, seed=1))
    assert not np.array_equal(chosen, choose_stratified(labels, 2000, seed=2))
    assert np.array_equal(choose_stratified(labels, 10**6, seed=1), np.arange(len(labels)))


def test_a_subset_of_sorted_images_is_no_head_of_them() -> None:
    chosen = choose_stratified(np.zeros(1000, np.int64), 100, seed=0)
    assert 300 < chosen.mean() < 700


def test_a_record_says_how_many_samples_it_saw(tmp_path: Path) -> None:
    record = made(spec_of("linear", epochs=1, role="final"), tmp_path)
    assert present(record.samples).model_dump() == {
        "train": 48,
        "validation": 20,
        "test": 20,
        "test_of": present(record.samples).test_of,
        "test_selection": "all" if present(record.samples).test_of == 20 else "stratified",
    }


@pytest.mark.parametrize(
    ("variant", "dataset"),
    [("linear", "usps"), ("linear", "moving_mnist"), ("copy-last", "usps"), ("kmeans", "mnist")],
)
def test_a_final_needs_no_validation_data(variant: str, dataset: str, tmp_path: Path) -> None:
    spec = without_validation(spec_of(variant, dataset, epochs=2, role="final"))
    record = made(spec, tmp_path)
    assert record.status == "complete"
    assert present(record.samples).validation == 0
    assert record.history == []
    assert f"test/{record.metric}" in record.metrics
    assert not any(name.startswith("validation/") for name in record.metrics)
    assert present(record.costs["train_seconds"]) > 0 or variant in ("copy-last", "kmeans")


def test_without_validation_data_all_training_images_are_trained_on(tmp_path: Path) -> None:
    spec = without_validation(spec_of("linear", epochs=1, role="final"), train_samples=None)
    still = mnist.DATASET.read(NOWHERE)
    assert present(made(spec, tmp_path).samples).train == len(still.train.labels)


def test_a_trial_needs_validation_data() -> None:
    spec = spec_of("linear")
    with pytest.raises(
        ValidationError, match=r"scored on validation data.*--validation-samples.*--final"
    ):
        RunSpec.model_validate(without_validation(spec).model_dump())


@pytest.mark.parametrize("count", [1, 9, -1])
def test_so_few_validation_samples_are_refused(count: int) -> None:
    with pytest.raises(ValidationError):
        Budget(profile="test", epochs=1, validation_samples=count)


def without_validation(spec: RunSpec, **more: object) -> RunSpec:
    budget = spec.budget.model_copy(update={"validation_samples": 0, **more})
    task = registry.available()[spec.variant].task
    data = datasets.find(spec.dataset).describe(task, budget=budget, source=NOWHERE)
    return spec.model_copy(update={"budget": budget, "data_sha256": data.sha256})
