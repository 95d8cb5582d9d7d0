"""Shapes and numbers of samples that are known without data are those that data has."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import datasets, protocol
from benchmarks.batches import Frames
from benchmarks.profiles import Name, load
from benchmarks.protocol import DataSource
from benchmarks.shapes import shape_of, sizes_of
from models import registry

VARIANTS = {"classification": "linear", "autoencoding": "autoencoder", "prediction": "convlstm"}
CELLS = [(task, dataset) for task in VARIANTS for dataset in datasets.names()]


@pytest.mark.parametrize(("task", "dataset"), [*CELLS, ("autoencoding", "constellations")])
def test_they_are_those_of_the_data(task: str, dataset: str, tmp_path: Path) -> None:
    budget = load(Name.smoke).budgets[task]
    config = registry.variant(VARIANTS[task]).Config()
    data = protocol.load(
        task, dataset, budget=budget, source=DataSource(tmp_path), seed=0, frames=Frames()
    )
    assert shape_of(dataset, config) == data.shape
    sizes = (len(data.train), len(data.validation), len(data.test))
    assert sizes_of(task, dataset, budget) == sizes


def test_without_a_bound_all_samples_count() -> None:
    budget = load(Name.published).budget("linear", "usps", batch_size=1, role="final")
    assert sizes_of("classification", "usps", budget) == (7291, 0, 2007)
    held = budget.model_copy(update={"validation_samples": 5000})
    assert sizes_of("classification", "usps", held) == (7291 - 1458, 1458, 2007)
    assert sizes_of("prediction", "usps", budget) == (10_000, 0, 10_000)
