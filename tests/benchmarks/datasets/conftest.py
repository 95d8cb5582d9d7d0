"""Clears what datasets keep in memory after each test, and finds the folder of the real data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import datasets
from benchmarks.datasets import downloads, image_dataset, moving_mnist


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for cached in (
        image_dataset._real,
        image_dataset._stand_in,
        moving_mnist._test_file,
        downloads._answers,
    ):
        cached.cache_clear()
    datasets._root = None


@pytest.fixture
def real_data() -> Path:
    path = Path(__file__).parents[4] / "shared/data"
    if not path.is_dir():
        pytest.skip("no ../shared/data with real data beside the repository")
    return path
