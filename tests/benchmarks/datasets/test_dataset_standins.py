"""Tests that stand-ins are reproducible, sample by sample, and can be learned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets import cifar10, mnist, svhn, usps
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.task_data import Split
from tests.narrowing import present

DATASETS = {
    dataset.name: dataset
    for dataset in (mnist.DATASET, usps.DATASET, cifar10.DATASET, svhn.DATASET)
}
BYTES = {
    "mnist": "46d73b323355",
    "usps": "862ed2c681da",
    "cifar10": "15fbb7bc93da",
    "svhn": "55495d791224",
}


def rendered(name: str, part: str, count: int) -> Split:
    """Renders the first samples of a part of a dataset's stand-in."""
    return present(DATASETS[name].render)(part, count)


@pytest.mark.parametrize("name", DATASETS)
def test_sample_does_not_depend_on_how_many_are_asked_for(name: str) -> None:
    long, short = (rendered(name, "train", n) for n in (1_203, 37))
    np.testing.assert_array_equal(long.images[:37], short.images)
    np.testing.assert_array_equal(long.labels[:37], short.labels)


@pytest.mark.parametrize("name", DATASETS)
def test_samples_are_all_different_in_train_and_test(name: str) -> None:
    both = np.concatenate([rendered(name, p, 400).images for p in ("train", "test")])
    assert len(np.unique(both.reshape(800, -1), axis=0)) == 800


@pytest.mark.parametrize("name", DATASETS)
def test_shapes_and_balance(name: str) -> None:
    dataset = DATASETS[name]
    split = rendered(name, "test", 200)
    assert split.images.shape == (200, *dataset.shape)
    assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
    assert np.bincount(split.labels).tolist() == [20] * 10
    assert split.images.std() > 30


def test_fingerprints_hold_and_are_those_of_another_process(tmp_path: Path) -> None:
    def sha256(name: str) -> str:
        source = DataSource(tmp_path)
        return DATASETS[name].read(source, train_samples=50, test_samples=20).sha256

    assert {name: sha256(name)[:12] for name in DATASETS} == BYTES
    code = (
        "from pathlib import Path; from benchmarks.datasets import dataset, svhn;"
        f"source = dataset.DataSource(Path({str(tmp_path)!r}));"
        "print(svhn.DATASET.read(source, train_samples=50, test_samples=20).sha256)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sha256("svhn")


@pytest.mark.parametrize(("name", "least", "most"), [("mnist", 50, 99), ("svhn", 0, 40)])
def test_a_linear_model_learns_something_but_not_all(name: str, least: int, most: int) -> None:
    from sklearn.linear_model import RidgeClassifier

    train, test = (rendered(name, p, n) for p, n in (("train", 1500), ("test", 500)))
    model = RidgeClassifier(alpha=100).fit(train.images.reshape(1500, -1) / 255.0, train.labels)
    score = 100 * model.score(test.images.reshape(500, -1) / 255.0, test.labels)
    assert least < score < most
