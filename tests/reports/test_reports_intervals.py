"""Tests intervals: their range, the variation that they include, and their coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks import metrics
from reports.statistics.intervals import (
    SCALES,
    Estimate,
    SeedScores,
    estimate,
    exact_bounds,
    mean,
    sampling_bounds,
)
from tests.reports.simulated import share


def covered(found: Sequence[Estimate], truth: float) -> float:
    return share([one.low <= truth <= one.high for one in found])


def test_hand_computed_error() -> None:
    # mean 4, s² = 4/3; on the logarithm s/mean = 0.28868; t(0.975, 3) = 3.1824; half .45937
    found = estimate(SeedScores((3.0, 3.0, 5.0, 5.0), "mse"))
    assert found.mean == 4
    assert found.low == pytest.approx(4 * math.exp(-0.45937), rel=1e-4)
    assert found.high == pytest.approx(4 * math.exp(0.45937), rel=1e-4)
    assert found[3:] == (4, "seeds alone")


def test_hand_computed_rate_of_equal_seeds() -> None:
    # 50 of 100, no spread of seeds: Clopper and Pearson's interval, as every table of it has it
    found = estimate(SeedScores((0.5, 0.5, 0.5), "accuracy", 100))
    assert (found.low, found.high) == pytest.approx((0.39832, 0.60168), abs=1e-5)
    assert found.of == "seeds and test set"


def test_hand_computed_rate_of_seeds_that_differ() -> None:
    # on the logit: slope 4, s = .08, so Student's half is 4.3027 · .08 / √3 = .19873; that of the
    # test set is logit(.60168) = .41241; together √(.19873² + .41241²) = .45779
    found = estimate(SeedScores((0.48, 0.5, 0.52), "accuracy", 100))
    assert found.high == pytest.approx(1 / (1 + math.exp(-0.45779)), abs=1e-4)
    assert found.low == pytest.approx(1 - found.high, abs=1e-12)


@given(st.integers(0, 64), st.sampled_from([0.05, 0.01]))
def test_bounds_of_a_share_are_scipys(right: int, level: float) -> None:
    expected = stats.binomtest(right, 64).proportion_ci(1 - level, method="exact")
    found = exact_bounds(right / 64, 64, stats.norm.ppf(1 - level / 2))
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_metric_without_ends_has_students_interval() -> None:
    values = (1.0, 2.0, 4.0, -3.0)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert estimate(SeedScores(values, "nll"))[1:3] == pytest.approx(expected)


@given(
    st.lists(st.integers(0, 64), min_size=3, max_size=10),
    st.sampled_from(["accuracy", "exact_match", "lin_pred"]),
)
def test_intervals_stay_inside_the_range(counts: list[int], metric: str) -> None:
    """Before: the intervals of 44 of 65 rows left [0, 1]."""
    found = estimate(SeedScores(tuple(count / 64 for count in counts), metric, 64))
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.low < found.high
    error = estimate(SeedScores(tuple(1e-6 + count for count in counts), "mse"))
    assert error.of == "no spread" or 0 < error.low <= error.mean <= error.high
    ssim = estimate(SeedScores(tuple(count / 65 for count in counts), "ssim"))
    assert math.isnan(ssim.low) or -1 < ssim.low <= ssim.high < 1


def test_two_equal_seeds_have_no_interval_of_0() -> None:
    """Before: the table had `0.2188 ± 0`, with more digits than the rows beside it."""
    found = estimate(SeedScores((0.2188, 0.2188), "accuracy", 64))
    assert math.isnan(found.low)
    assert found.of == "too few seeds"
    low, high = sampling_bounds(SeedScores((0.21875, 0.21875), "accuracy", 64))
    assert high - low > 0.1


def test_the_test_set_is_in_the_interval() -> None:
    """With 64 test images the interval is wide, even if all seeds agree."""
    wide, narrow = (
        estimate(SeedScores((0.36,) * 10, "accuracy", tested)) for tested in (64, 10_000)
    )
    assert (wide.low, wide.high) == pytest.approx((0.2437, 0.4894), abs=1e-3)
    assert (narrow.low, narrow.high) == pytest.approx((0.3506, 0.3695), abs=1e-3)


@pytest.mark.parametrize(
    ("scores", "of"),
    [
        (SeedScores((), "accuracy", 64), ""),
        (SeedScores((0.5,), "accuracy", 64), "too few seeds"),
        (SeedScores((0.5, math.nan, 0.1), "accuracy", 64), "not finite"),
        (SeedScores((0.5, math.inf, 0.1), "mse"), "not finite"),
        (SeedScores((0.5, 0.5, 0.5), "mse"), "no spread"),
        (SeedScores((0.0, 0.0, 0.0), "accuracy"), "no spread"),
        (SeedScores((3.0, 0.5, 0.5), "accuracy", 64), "no spread"),
        (SeedScores((2.0, 2.0, 2.0), "mse", deterministic=True), "deterministic"),
    ],
)
def test_without_an_interval_it_says_why(scores: SeedScores, of: str) -> None:
    found = estimate(scores)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.of == of


def test_a_deterministic_rate_has_the_test_set_alone() -> None:
    scores = SeedScores((0.5, 0.5), "accuracy", 100, deterministic=True)
    found = estimate(scores)
    assert found.of == "deterministic: test set alone"
    assert (found.low, found.high) == pytest.approx(sampling_bounds(scores), abs=1e-12)


def test_the_order_of_seeds_changes_no_digit() -> None:
    values = [0.1, 0.7, 1e-9, 0.3, 0.56789]
    found = {estimate(SeedScores(order, "accuracy", 64)) for order in permutations(values)}
    assert len(found) == 1


def test_means_of_none_and_of_broken_values() -> None:
    assert math.isnan(mean([]))
    assert math.isnan(mean([math.inf, -math.inf]))
    assert mean([0.5, math.inf]) == math.inf


def test_every_metric_of_the_benchmark_has_a_scale() -> None:
    known = {
        name
        for table in vars(metrics).values()
        if isinstance(table, dict)
        for name, way in table.items()
        if way in ("maximize", "minimize")
    }
    assert known
    assert known <= set(SCALES)


@pytest.mark.parametrize("tested", [64, 500, 2000])
def test_intervals_of_deterministic_rates_cover_what_they_say(tested: int) -> None:
    right = np.random.default_rng(tested).binomial(tested, 0.8, size=2500) / tested
    found = [estimate(SeedScores((x, x), "accuracy", tested, True)) for x in right.tolist()]
    assert 0.94 <= covered(found, 0.8) <= 0.985
