"""Tests that metrics equal textbook versions, and that the training step weights loss terms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import datasets, metrics, tasks
from benchmarks.batches import training_epoch
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.spec import Budget
from benchmarks.runs.journal import NonFinite, require_finite
from benchmarks.speed.timing import untrained_model
from benchmarks.tasks.picture_grid import grid
from benchmarks.tasks.prediction import frame_metrics
from models import registry
from models.variant import Images, Variant
from tests.narrowing import of_type

MOVING_MNIST = "moving_mnist"
NOWHERE = DataSource(Path("no-such-folder"))
BUDGET = Budget(profile="test", epochs=1, train_samples=40, validation_samples=20, test_samples=20)


def task_on(variant: str, dataset: str, **settings: object) -> tasks.Task:
    name = registry.available()[variant].task
    data = datasets.find(dataset).load(name, budget=BUDGET, source=NOWHERE, seed=0)
    config = registry.variant(variant).Config.model_validate(settings)
    model = untrained_model(variant, data.shape, config)
    return tasks.task_class(name, dataset)(model, data, seed=0)


def ssim(one: np.ndarray, two: np.ndarray) -> float:
    """Computes the structural similarity of two images by its definition, window by window."""
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for y in range(one.shape[0] - 6):
        for x in range(one.shape[1] - 6):
            a, b = one[y : y + 7, x : x + 7], two[y : y + 7, x : x + 7]
            covariance = ((a - a.mean()) * (b - b.mean())).sum() / 48
            values.append(
                (2 * a.mean() * b.mean() + c1)
                * (2 * covariance + c2)
                / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (a.var(ddof=1) + b.var(ddof=1) + c2))
            )
    return float(np.mean(values))


@pytest.mark.parametrize("channels", [1, 3])
def test_frame_metrics_follow_the_protocol(channels: int) -> None:
    draw = np.random.default_rng(0)
    truth = draw.random((2, 3, channels, 16, 16))
    guess = truth + 0.3 * draw.standard_normal(truth.shape)  # some values are outside [0, 1]
    found = frame_metrics(torch.tensor(guess, dtype=torch.float32), torch.tensor(truth).float())
    expected = dict.fromkeys(("mse", "mae", "ssim", "psnr"), 0.0)
    for i in range(2):
        for t in range(3):
            error = guess[i, t] - truth[i, t]
            clipped = guess[i, t].clip(0, 1)
            expected["mse"] += (error**2).sum() / 3
            expected["mae"] += np.abs(error).sum() / 3
            expected["psnr"] += -10 * np.log10(((clipped - truth[i, t]) ** 2).mean()) / 3
            similar = [ssim(clipped[c], truth[i, t, c]) for c in range(channels)]
            expected["ssim"] += float(np.mean(similar)) / 3
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=2e-4), name


def test_metrics_are_full_precision_under_autocast() -> None:
    torch.manual_seed(0)
    guess, truth = torch.rand(2, 2, 3, 1, 16, 16)
    plain = frame_metrics(guess, truth)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = frame_metrics(guess, truth)
    assert all(torch.equal(plain[name], mixed[name]) for name in plain)


def test_a_perfect_prediction_has_finite_figures() -> None:
    truth = torch.rand(2, 3, 1, 16, 16)
    found = {name: float(value) for name, value in frame_metrics(truth, truth).items()}
    assert found["mse"] == 0
    assert found["ssim"] == pytest.approx(2.0, rel=1e-5)
    assert np.isfinite(found["psnr"])


def evaluated(task: tasks.Task, scores: Tensor, y: Tensor) -> dict[str, float]:
    for part, answer in zip(y.split(3), scores.split(3), strict=True):
        task.update(answer, Images(torch.zeros(len(part), 1), part))
    return task.compute()


def test_accuracy_equals_counting() -> None:
    torch.manual_seed(0)
    scores, y = torch.rand(20, 10), torch.randint(0, 10, (20, 1))
    scores[:8].scatter_(1, y[:8], 2.0)
    found = evaluated(task_on("linear", "mnist"), scores, y)
    right = [int(s.argmax()) == int(label) for s, label in zip(scores, y, strict=True)]
    assert found["accuracy"] == pytest.approx(np.mean(right))
    present = sorted(set(y.flatten().tolist()))
    by_class = [
        np.mean([r for r, label in zip(right, y, strict=True) if label == c]) for c in present
    ]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(by_class))


def test_two_digits_equal_counting() -> None:
    torch.manual_seed(0)
    y = torch.stack([torch.randperm(10)[:2] for _ in range(20)])
    scores = torch.rand(20, 10)
    scores[:6].scatter_(1, y[:6], 2.0)
    found = evaluated(task_on("linear", MOVING_MNIST), scores, y)
    both = single = 0
    for s, truth in zip(scores, y, strict=True):
        hits = set(s.topk(2).indices.tolist()) & set(truth.tolist())
        both += len(hits) == 2
        single += len(hits)
    assert found == pytest.approx({"exact_match": both / 20, "digit_accuracy": single / 40})


def test_metrics_are_forgotten_between_evaluations() -> None:
    task = task_on("linear", "mnist")
    y = torch.arange(10)[:, None]
    assert evaluated(task, torch.eye(10), y)["accuracy"] == 1
    assert evaluated(task, -torch.eye(10), y)["accuracy"] == 0


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    task = task_on(
        "capsnet", "mnist", conv_channels=4, primary_capsules=1, reconstruction_weight=0.25
    )
    batch = next(iter(training_epoch(task.data.train, batch_size=16, seed=0, epoch=0)))
    task.eval()
    with torch.no_grad():
        terms, _ = task.model.loss(batch)
        task.validation_step(batch, 0)
    means = task.evaluation_losses()
    total = float(terms["margin"]) + 0.25 * float(terms["reconstruction"])
    assert means["loss"] == pytest.approx(total)
    assert means["loss/margin"] == pytest.approx(float(terms["margin"]))


def test_training_batches_are_shuffled_anew_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_on("linear", "mnist", batch_size=20)

    def order(epoch: int) -> list[int]:
        monkeypatch.setattr(type(task), "current_epoch", epoch)
        batches = [of_type(Images, batch) for batch in task.train_dataloader()]
        return torch.cat([batch.y[:, 0] for batch in batches]).tolist()

    plain = of_type(Images, task.data.train.gather(torch.arange(40), 0)).y[:, 0].tolist()
    assert sorted(order(0)) == sorted(order(1)) == sorted(plain)
    assert order(0) == order(0)
    assert len({tuple(order(0)), tuple(order(1)), tuple(plain)}) == 3


def test_blank_predictions_are_scored_like_others() -> None:
    """Known mistake: blank frames, which occur early in training, fail the run."""
    truth = torch.rand(2, 3, 1, 16, 16)
    found = {name: float(value) for name, value in frame_metrics(0 * truth, truth).items()}
    require_finite(found, "epoch 1")
    assert found["mse"] == pytest.approx(2 * 256 * float(truth.square().mean()), rel=1e-5)


@pytest.mark.parametrize("name", registry.available())
def test_every_variant_has_a_task_with_directions(name: str) -> None:
    entry = registry.available()[name]
    for dataset in ("mnist", MOVING_MNIST):
        directions = metrics.directions(entry.task, dataset)
        assert directions
        assert set(directions.values()) <= {"maximize", "minimize"}
    assert issubclass(registry.variant(name), Variant)


def test_what_is_not_finite_is_named() -> None:
    require_finite({"a": 1.0}, "epoch 1")
    with pytest.raises(NonFinite, match="validation/mse was inf in epoch 2"):
        require_finite({"a": 1.0, "validation/mse": float("inf")}, "epoch 2")


def test_a_picture_is_a_grid_of_images() -> None:
    row = [torch.zeros(1, 4, 5), torch.ones(1, 4, 5)]
    assert grid([row, row, row]).shape == (3 * 6 + 2, 2 * 7 + 2)
    assert grid([[torch.ones(3, 4, 4)]]).shape == (8, 8, 3)
    assert grid([row])[2:6, 9:14].min() == 255
