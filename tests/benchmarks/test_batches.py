"""Tests that orders and splits are pure functions of their seeds, and that parts are disjoint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import datasets
from benchmarks.batches import all_pixels, evaluation_epoch, training_epoch
from benchmarks.datasets import mnist
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.samples import StillSamples, to_float
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.record import DataInfo, DataState
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import Budget
from models import registry
from models.variant import ClipShape, Images, ImageShape
from tests.cells_without_files import CELLS_WITHOUT_FILES
from tests.narrowing import of_type

MOVING_MNIST = "moving_mnist"
NOWHERE = DataSource(Path("no-such-folder"))
BUDGET = Budget(profile="test", epochs=1, train_samples=60, validation_samples=30, test_samples=20)


def load(task: str, dataset: str, seed: int = 0) -> TaskData:
    return datasets.find(dataset).load(task, budget=BUDGET, source=NOWHERE, seed=seed)


def numbered(count: int) -> StillSamples:
    return StillSamples(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.arange(count))


def labels(epoch: Iterable[Any]) -> list[int]:
    return [int(label) for batch in epoch for label in batch.y.flatten()]


def test_an_epochs_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return labels(training_epoch(numbered(50), batch_size=8, seed=seed, epoch=epoch))

    torch.rand(3)
    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert len(set(order(1, 2))) == 48  # an incomplete last batch is left out


def test_a_single_batch_that_is_not_full_is_kept() -> None:
    epoch = training_epoch(numbered(5), batch_size=8, seed=0, epoch=0)
    assert len(epoch) == 1
    assert sorted(labels(epoch)) == list(range(5))


def test_evaluation_sees_all_in_order() -> None:
    epoch = evaluation_epoch(numbered(50), batch_size=8)
    assert len(epoch) == 7
    assert labels(epoch) == list(range(50))


@pytest.mark.parametrize("dataset", ["usps", MOVING_MNIST])
def test_pixels_are_those_of_the_batches(dataset: str) -> None:
    train = load("autoencoding", dataset).train
    pixels = all_pixels(train, batch_size=7)
    assert pixels.dtype == torch.uint8
    assert torch.equal(
        to_float(pixels), of_type(Images, train.gather(torch.arange(len(train)), 0)).x
    )


def test_seeds_are_functions_of_named_axes() -> None:
    assert derive_seed(0, trial=1) == derive_seed(0, trial=1) == 4398556041439559630
    assert derive_seed(0, trial=1, step=2) == derive_seed(0, step=2, trial=1)
    assert (
        len({derive_seed(0), derive_seed(1), derive_seed(0, trial=0), derive_seed(0, final=0)}) == 4
    )
    assert 0 <= derive_seed(3, data="train") < 2**63


@pytest.mark.parametrize(
    ("task", "dataset"),
    sorted({(registry.available()[v].task, dataset) for v, dataset in CELLS_WITHOUT_FILES}),
)
def test_each_task_gets_samples_of_the_stated_shape(task: str, dataset: str) -> None:
    data = load(task, dataset)
    clips = task == "prediction"
    assert isinstance(data.shape, ClipShape if clips else ImageShape)
    assert (
        data.info.sha256
        == datasets.find(dataset).describe(task, budget=BUDGET, source=NOWHERE).sha256
    )
    for part, wanted in (("train", 60), ("validation", 30), ("test", 20)):
        samples = getattr(data, part)
        assert len(samples) == wanted, part
        batch = samples.gather(torch.arange(4), 0)
        pixels = torch.cat(batch, dim=1) if clips else batch.x
        size = (data.shape.channels, data.shape.height, data.shape.width)
        assert pixels.shape == (4, *((20, *size) if clips else size))
        assert pixels.dtype == torch.float32
        assert 0 <= pixels.min() < 0.2 < pixels.max() <= 1
        if isinstance(data.shape, ImageShape):
            assert batch.y.shape == (4, data.shape.labels)
            assert batch.y.max() < data.shape.classes


@pytest.mark.parametrize("dataset", ["usps", "cifar10"])
def test_train_validation_and_test_share_no_image(dataset: str) -> None:
    data = load("classification", dataset)
    parts = [
        {image.tobytes() for image in getattr(data, part).images.numpy()}
        for part in ("train", "validation", "test")
    ]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_validation_is_stratified() -> None:
    data = load("classification", "mnist")
    held_out = of_type(StillSamples, data.validation)
    counts = np.bincount(held_out.labels.numpy(), minlength=10)
    still = mnist.DATASET.read(NOWHERE, train_samples=150)
    expected = 30 * np.bincount(still.train.labels, minlength=10) / len(still.train.labels)
    assert np.abs(counts - expected).max() <= 1.5


def test_sequences_show_images_of_their_own_side() -> None:
    """Training sequences show training images, validation sequences held-out images, test sequences
    test images."""
    data = load("prediction", "mnist")
    parts = [
        {sprite.tobytes() for sprite in getattr(data, part).source.sprites.numpy()}
        for part in ("train", "validation", "test")
    ]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


@pytest.mark.parametrize("task", ["classification", "prediction"])
def test_generated_training_samples_are_fresh_and_others_fixed(task: str) -> None:
    data, other = load(task, MOVING_MNIST), load(task, MOVING_MNIST, seed=1)
    index = torch.arange(6)

    def equal(one: Iterable[torch.Tensor], two: Iterable[torch.Tensor]) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))

    assert not equal(data.train.gather(index, 0), data.train.gather(index, 1))
    assert not equal(data.train.gather(index, 0), other.train.gather(index, 0))
    assert equal(data.train.gather(index, 1), load(task, MOVING_MNIST).train.gather(index, 1))
    for part in ("validation", "test"):
        one, two = getattr(data, part), getattr(other, part)
        assert equal(one.gather(index, 0), two.gather(index, 3))


def test_two_digit_frames_show_two_classes() -> None:
    batch = load("classification", MOVING_MNIST).train.gather(torch.arange(50), 0)
    assert isinstance(batch, Images)
    assert (batch.y[:, 0] != batch.y[:, 1]).all()


def test_the_standard_test_file_is_used_where_it_is(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (20, 12, 64, 64), dtype=np.uint8)
    (tmp_path / "MovingMNIST").mkdir()
    np.save(tmp_path / "MovingMNIST" / "mnist_test_seq.npy", frames)
    source = DataSource(tmp_path)
    budget = BUDGET.model_copy(update={"test_samples": 5})
    data = datasets.find(MOVING_MNIST).load("prediction", budget=budget, source=source, seed=0)
    assert len(data.test) == 5
    shown = torch.cat(data.test.gather(torch.arange(5), 0), dim=1)[:, :, 0].mul(255).round()
    sequences = frames.transpose(1, 0, 2, 3)
    places = [
        next(i for i, sequence in enumerate(sequences) if np.array_equal(sequence, one))
        for one in shown.numpy()
    ]
    assert places == sorted(set(places)) != list(range(5)), "a seeded subset, not the first ones"
    assert (data.test_of, data.test_selection) == (12, "random")
    assert data.info.state == "partial test, train from stand-in"
    generated = datasets.find("mnist").describe("prediction", budget=budget, source=source)
    assert generated.state == "generated from stand-in"
    assert generated.sha256 != data.info.sha256


@pytest.mark.parametrize(
    ("state", "states"),
    [
        ("unofficial", [DataState.unofficial]),
        ("generated from stand-in", [DataState.stand_in, DataState.generated]),
        ("partial test, train from stand-in", [DataState.partial, DataState.stand_in]),
    ],
)
def test_states_are_the_words_of_the_text(state: str, states: list[DataState]) -> None:
    info = DataInfo(dataset="mnist", state=state, samples="", sha256="", path="")
    assert list(info.states) == states
