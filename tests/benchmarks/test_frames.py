"""Tests number and size of a prediction variant's frames, from hyper-parameters to record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.frames import Frames
from benchmarks.datasets.sequences import MovingClips
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget
from benchmarks.runs.run import run
from benchmarks.specs.specification import specify
from models.variant import ClipShape
from tests.narrowing import present

MOVING_MNIST = "moving_mnist"
NOWHERE = DataSource(Path("no-such-folder"))
BUDGET = Budget(profile="test", epochs=1, train_samples=8, validation_samples=10, test_samples=5)
SIZES = [Frames(), Frames(16, 1, 32), Frames(3, 2, 16), Frames(2, 3, 24)]


def load(dataset: str, frames: Frames | None, source: DataSource = NOWHERE) -> TaskData:
    return datasets.find(dataset).load(
        "prediction", budget=BUDGET, source=source, seed=0, frames=frames
    )


def filed(folder: Path, frames: int = 20) -> tuple[DataSource, np.ndarray]:
    """Writes a test file with sequences of noise."""
    sequences = np.random.default_rng(0).integers(0, 256, (frames, 6, 64, 64), dtype=np.uint8)
    (folder / "MovingMNIST").mkdir()
    np.save(folder / "MovingMNIST" / "mnist_test_seq.npy", sequences)
    return DataSource(folder), sequences


@pytest.mark.parametrize("frames", SIZES)
@pytest.mark.parametrize("dataset", [MOVING_MNIST, "cifar10"])
def test_frames_are_as_many_and_as_large_as_asked_for(dataset: str, frames: Frames) -> None:
    data = load(dataset, frames)
    channels = 1 if dataset == MOVING_MNIST else 3
    image = (channels, frames.size, frames.size)
    assert data.shape == ClipShape(*image, frames.past, frames.future)
    for samples in (data.train, data.validation, data.test):
        past, future = present(samples).gather(torch.arange(2), 0)
        assert past.shape == (2, frames.past, *image)
        assert future.shape == (2, frames.future, *image)
        assert past.dtype == future.dtype == torch.float32
        assert min(past.min(), future.min()) >= 0
        assert max(past.max(), future.max()) <= 1


def test_without_a_word_they_are_ten_and_ten_of_64_pixels() -> None:
    assert load(MOVING_MNIST, None).shape == ClipShape(1, 64, 64, 10, 10)


@pytest.mark.parametrize("size", [32, 16])
def test_smaller_frames_are_means_over_squares_of_pixels(size: int) -> None:
    large, small = (load(MOVING_MNIST, Frames(4, 3, side)) for side in (64, size))
    side = 64 // size
    for part in ("train", "validation", "test"):
        whole = torch.cat(getattr(large, part).gather(torch.arange(2), 1), dim=1)
        found = torch.cat(getattr(small, part).gather(torch.arange(2), 1), dim=1)
        for row in range(size):
            for column in range(size):
                square = whole[..., row * side : (row + 1) * side, :]
                mean = square[..., column * side : (column + 1) * side].mean(dim=(-2, -1))
                torch.testing.assert_close(found[..., row, column], mean)


def test_asking_for_fewer_frames_shows_the_beginning_of_the_same_sequence() -> None:
    long, short = (load(MOVING_MNIST, Frames(past, 1)) for past in (6, 3))
    for part in ("train", "validation", "test"):
        index = torch.arange(3)
        past, future = getattr(short, part).gather(index, 2)
        whole = getattr(long, part).gather(index, 2).past
        assert torch.equal(torch.cat([past, future], dim=1), whole[:, :4])


def test_generated_sequences_may_be_longer_than_the_files() -> None:
    data = load(MOVING_MNIST, Frames(20, 12, 8))
    assert isinstance(data.test, MovingClips)
    assert data.test.gather(torch.arange(1), 0).future.shape == (1, 12, 1, 8, 8)


def test_the_files_sequences_are_cut_and_averaged_too(tmp_path: Path) -> None:
    source, sequences = filed(tmp_path)
    data = load(MOVING_MNIST, Frames(16, 1, 32), source)
    past, future = data.test.gather(torch.tensor([0]), 0)
    means = sequences.reshape(20, -1, 32, 2, 32, 2).mean(axis=(3, 5)) / 255
    apart = np.abs(means[:16] - past[0, :, 0].numpy()[:, None]).max(axis=(0, 2, 3))
    means = means[:, apart.argmin()]  # finds the sequence: test samples are a seeded subset
    np.testing.assert_allclose(past[0, :, 0], means[:16], rtol=1e-5)
    np.testing.assert_allclose(future[0, :, 0], means[16:17], rtol=1e-5)


def test_more_frames_than_the_file_has_is_one_sentence(tmp_path: Path) -> None:
    source, _ = filed(tmp_path)
    assert load(MOVING_MNIST, Frames(19, 1), source).test.gather(torch.arange(1), 0)
    with pytest.raises(InputError, match=r"20 frames: 16 past and 5 future frames are too many"):
        load(MOVING_MNIST, Frames(16, 5), source)


def test_a_run_is_made_on_the_frames_of_its_hyperparameters(tmp_path: Path) -> None:
    """The error of `copy-last` by the Capsule Transformer's protocol is computed here, too."""
    spec = specify(
        "copy-last",
        MOVING_MNIST,
        role="final",
        hyperparameters={"past": 16, "future": 1, "size": 32},
        budget=BUDGET.model_dump(exclude={"profile"}),
        source=NOWHERE,
    )
    record = run(spec, source=NOWHERE, results=tmp_path)
    past, future = load(MOVING_MNIST, Frames(16, 1, 32)).test.gather(torch.arange(5), 0)
    summed = (past[:, -1] - future[:, 0]).double().square().sum(dim=(1, 2, 3)).mean()
    assert record.status == "complete"
    assert record.metrics["test/mse"] == pytest.approx(float(summed), rel=1e-5)
