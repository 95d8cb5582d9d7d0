"""Tests that the sentences of reports are true in at least as many tables as they say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from reports.statistics.intervals import estimate
from tests.reports.simulated import errors, rates
from tests.tools.measured_coverage import CLAIMS, SEEDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "reading-the-tables.md"
TABLES = 600
TOLERANCE = 0.02 + 2 * math.sqrt(0.95 * 0.05 / TABLES)
"""Two points of a hundred, and twice the standard error of so many tables."""


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_printed_is_true_in_at_least_95_of_100_tables(name: str, seeds: int) -> None:
    """Intervals of accuracies and of skills held in 87, of differences in 48, and marks in 89."""
    found = dict(CLAIMS[name](np.random.default_rng(seeds), seeds, TABLES))
    lowest = min(found, key=lambda case: found[case])
    assert found[lowest] >= 0.95 - TOLERANCE, lowest
    if name.startswith(("an accuracy", "an error", "a truly best")):
        assert found[lowest] <= 0.97, "intervals are wider than they need to be"


@pytest.mark.parametrize("name", CLAIMS)
def test_the_measured_table_has_each_sentence(name: str) -> None:
    assert f"| {name} |" in DOCUMENT.read_text("utf-8")


def test_with_two_seeds_nothing_is_printed_that_could_be_wrong() -> None:
    draw = np.random.default_rng(2)
    drawn = [*rates(draw, 20, 0.5, 0.1, 2, 64), *errors(draw, 20, 1, 0.1, 2)]
    assert all(math.isnan(estimate(one).low) for one in drawn)
    assert not any(one.comparable for one in drawn)
