"""Tests marks: how often a truly best variant is called worse, and how often a worse one is
found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.records.spec import Direction
from reports.statistics.intervals import SeedScores
from reports.statistics.multiple_comparisons import compare_with_best, critical_value
from tests.reports.simulated import EQUAL, errors, share


def marks(variants: Sequence[SeedScores], direction: Direction = "maximize") -> list[str]:
    return [found.mark for found in compare_with_best(variants, direction)]


def accuracies(*rows: tuple[float, ...], tested: int = 2000) -> list[SeedScores]:
    return [SeedScores(row, "accuracy", tested) for row in rows]


@pytest.mark.parametrize("degrees", [2, 4, 14, 60])
def test_one_rival_has_students_critical_value(degrees: int) -> None:
    assert critical_value(1, degrees) == pytest.approx(stats.t.ppf(0.95, degrees), abs=1e-4)
    assert critical_value(1, math.inf) == pytest.approx(1.64485, abs=1e-4)


@pytest.mark.parametrize(("rivals", "degrees"), [(2, 6), (3, 4), (6, 14)])
def test_critical_values_are_those_of_the_multivariate_t(rivals: int, degrees: int) -> None:
    correlation = np.full((rivals, rivals), 0.5) + 0.5 * np.eye(rivals)
    bound = np.full(rivals, critical_value(rivals, degrees))
    inside = stats.multivariate_t.cdf(bound, shape=correlation, df=degrees, random_state=1)
    assert inside == pytest.approx(0.95, abs=1e-3)


def test_the_best_those_that_may_be_and_the_worse() -> None:
    found = accuracies((0.95, 0.96, 0.97), (0.97, 0.94, 0.955), (0.80, 0.81, 0.79))
    assert marks(found) == ["may be best", "may be best", "worse"]
    assert marks([found[0], found[2]]) == ["best", "worse"]
    assert marks([found[0]]) == ["best"]


def test_of_errors_the_lowest_is_best() -> None:
    low, high = SeedScores((100.0, 101.0, 102.0), "mse"), SeedScores((200.0, 201.0, 199.0), "mse")
    assert marks([high, low], "minimize") == ["worse", "best"]


def test_equal_differences_of_two_or_three_seeds_prove_nothing() -> None:
    """Before: one image of 64 less for each seed had p = 0 and the mark `behind`."""
    assert marks(accuracies((0.5, 0.5, 0.5), (31 / 64,) * 3, tested=64)) == ["may be best"] * 2
    draw = np.random.default_rng(1)
    right = draw.binomial(64, 0.1, size=(400, EQUAL, 3)) / 64
    false = [
        "worse" in marks(accuracies(*map(tuple, table), tested=64)) for table in right.tolist()
    ]
    assert share(false) < 0.01  # 36 % before


def test_variants_with_disjoint_intervals_differ() -> None:
    """Before: `≈` was the mark of .53 ± .22 and .045 ± .019."""
    assert marks(accuracies((0.43, 0.55, 0.61), (0.037, 0.045, 0.053))) == ["best", "worse"]


def test_without_degrees_of_freedom_nothing_is_said() -> None:
    fixed = [SeedScores((value,) * 3, "mse", deterministic=True) for value in (1.0, 2.0)]
    assert marks(fixed, "minimize") == ["too few seeds"] * 2
    assert (
        marks([SeedScores((1.0,) * 3, "mse"), SeedScores((2.0,) * 3, "mse")]) == ["may be best"] * 2
    )


def test_a_deterministic_variant_is_compared_by_the_spread_of_the_others() -> None:
    fixed = SeedScores((280.0, 280.0), "mse", deterministic=True)
    assert marks([SeedScores((150.0, 151.0, 152.0), "mse"), fixed], "minimize") == ["best", "worse"]


@settings(deadline=None)  # the first call for a number of variants computes critical values
@given(st.lists(st.lists(st.integers(0, 64), min_size=3, max_size=5), min_size=2, max_size=6))
def test_marks_are_monotone_in_the_mean(counts: list[list[int]]) -> None:
    """Before: 9 `tied` rows were below a `behind` row."""
    variants = [SeedScores(tuple(c / 64 for c in row), "accuracy", 64) for row in counts]
    found = compare_with_best(variants, "maximize")
    worse = [v.mean for v, one in zip(variants, found, strict=True) if one.mark == "worse"]
    others = [v.mean for v, one in zip(variants, found, strict=True) if one.mark != "worse"]
    assert others
    assert not worse or max(worse) < min(others)
    assert all(0 <= one.at_most <= 2 for one in found)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 64), min_size=3, max_size=5), min_size=2, max_size=6))
def test_marks_and_behind_at_most_agree(counts: list[list[int]]) -> None:
    """An interval of a difference that excluded 0 stood beside `tied`."""
    variants = [SeedScores(tuple(c / 64 for c in row), "accuracy", 64) for row in counts]
    found = compare_with_best(variants, "maximize")
    assert all(one.at_most > 0 for one in found if one.mark != "best")
    assert all(one.at_most == 0 for one in found if one.mark == "best")


def test_a_gap_of_four_standard_deviations_is_mostly_found() -> None:
    """With three seeds; a paired test with Holm's correction finds 27 % of such gaps."""
    draw = np.random.default_rng(0)
    columns = [errors(draw, 500, 150 if v else 138, 0.02, 3) for v in range(EQUAL)]
    found = [marks(table, "minimize")[1] == "worse" for table in zip(*columns, strict=True)]
    assert share(found) >= 0.85
