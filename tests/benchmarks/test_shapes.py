"""Tests that shapes and sample counts computed without data equal those of the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.frames import Frames
from benchmarks.specs.profiles import ProfileName, load_profile
from models import registry
from tests.cells_without_files import CELLS_WITHOUT_FILES
from tests.narrowing import present

VARIANTS = {"classification": "linear", "autoencoding": "autoencoder", "prediction": "convlstm"}
CELLS = sorted(
    {(registry.available()[variant].task, dataset) for variant, dataset in CELLS_WITHOUT_FILES}
)


@pytest.mark.parametrize(("task", "dataset"), [*CELLS, ("autoencoding", "constellations")])
def test_they_are_those_of_the_data(task: str, dataset: str, tmp_path: Path) -> None:
    budget = load_profile(ProfileName.smoke).budgets[task]
    config = registry.variant(VARIANTS[task]).Config()
    data = datasets.find(dataset).load(
        task, budget=budget, source=DataSource(tmp_path), seed=0, frames=Frames()
    )
    assert datasets.find(dataset).shape_of(task, Frames.of(config)) == data.shape
    sizes = (len(data.train), len(present(data.validation)), len(data.test))
    assert datasets.find(dataset).sizes_of(task, budget) == sizes


def test_without_a_bound_all_samples_count() -> None:
    budget = load_profile(ProfileName.published).budget(
        "linear", "usps", batch_size=1, role="final"
    )
    usps = datasets.find("usps")
    assert usps.sizes_of("classification", budget) == (7291, 0, 2007)
    held = budget.model_copy(update={"validation_samples": 5000})
    assert usps.sizes_of("classification", held) == (7291 - 1458, 1458, 2007)
    assert usps.sizes_of("prediction", budget) == (10_000, 0, 10_000)
