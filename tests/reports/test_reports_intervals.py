"""Tests intervals: their range, the variation that they include, and their coverage."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from simulated import errors, rates, share

from benchmarks import metrics
from reports.intervals import SCALES, Estimate, SeedScores, estimate, mean, sampling_bounds


def covered(found, truth):
    return share([one.low <= truth <= one.high for one in found])


def test_hand_computed_error():
    # mean 4, s² = 4/3; on the logarithm s/mean = 0.28868; t(0.975, 3) = 3.1824; half .45937
    found = estimate(SeedScores((3.0, 3.0, 5.0, 5.0), "mse"))
    assert found.mean == 4
    assert found.low == pytest.approx(4 * math.exp(-0.45937), rel=1e-4)
    assert found.high == pytest.approx(4 * math.exp(0.45937), rel=1e-4)
    assert found[3:] == (4, "seeds alone")


def test_hand_computed_rate_of_equal_seeds():
    # 50 of 100: logit 0, variance 1 / (100 · ¼) = .04, half 1.96 · .2 = .392; no spread of seeds
    found = estimate(SeedScores((0.5, 0.5, 0.5), "accuracy", 100))
    assert (found.low, found.high) == pytest.approx((0.40324, 0.59676), abs=1e-4)
    assert found.of == "seeds and test set"


def test_a_metric_without_ends_has_students_interval():
    values = (1.0, 2.0, 4.0, -3.0)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert estimate(SeedScores(values, "nll"))[1:3] == pytest.approx(expected)


@given(
    st.lists(st.integers(0, 64), min_size=3, max_size=10),
    st.sampled_from(["accuracy", "exact_match", "lin_pred"]),
)
def test_finding_4_intervals_stay_inside_the_range(counts, metric):
    """Before: the intervals of 44 of 65 rows left [0, 1]."""
    found = estimate(SeedScores(tuple(count / 64 for count in counts), metric, 64))
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.low < found.high
    error = estimate(SeedScores(tuple(1e-6 + count for count in counts), "mse"))
    assert error.of == "no spread" or 0 < error.low <= error.mean <= error.high
    ssim = estimate(SeedScores(tuple(count / 65 for count in counts), "ssim"))
    assert math.isnan(ssim.low) or -1 < ssim.low <= ssim.high < 1


def test_finding_4_two_equal_seeds_have_no_interval_of_0():
    """Before: the table had `0.2188 ± 0`, with more digits than the rows beside it."""
    found = estimate(SeedScores((0.2188, 0.2188), "accuracy", 64))
    assert math.isnan(found.low)
    assert found.of == "too few seeds"
    low, high = sampling_bounds(SeedScores((0.21875, 0.21875), "accuracy", 64))
    assert high - low > 0.1


def test_finding_5_the_test_set_is_in_the_interval():
    """With 64 test images the interval is wide, even if all seeds agree."""
    wide, narrow = (
        estimate(SeedScores((0.36,) * 10, "accuracy", tested)) for tested in (64, 10_000)
    )
    assert (wide.high - wide.low) / 2 == pytest.approx(0.115, abs=0.005)
    assert (narrow.high - narrow.low) / 2 == pytest.approx(0.0094, abs=0.0005)


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
def test_without_an_interval_it_says_why(scores, of):
    found = estimate(scores)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.of == of


def test_a_deterministic_rate_has_the_test_set_alone():
    scores = SeedScores((0.5, 0.5), "accuracy", 100, deterministic=True)
    found = estimate(scores)
    assert found.of == "deterministic: test set alone"
    assert (found.low, found.high) == sampling_bounds(scores)


def test_the_order_of_seeds_changes_no_digit():
    values = [0.1, 0.7, 1e-9, 0.3, 0.56789]
    found = {estimate(SeedScores(order, "accuracy", 64)) for order in permutations(values)}
    assert len(found) == 1


def test_means_of_none_and_of_broken_values():
    assert math.isnan(mean([]))
    assert math.isnan(mean([math.inf, -math.inf]))
    assert mean([0.5, math.inf]) == math.inf


def test_every_metric_of_the_benchmark_has_a_scale():
    known = {
        name
        for table in vars(metrics).values()
        if isinstance(table, dict)
        for name, way in table.items()
        if way in ("maximize", "minimize")
    }
    assert known
    assert known <= set(SCALES)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("tested", [64, 500, 2000])
def test_intervals_of_rates_cover_what_they_say(seeds, tested):
    """They cover 95 % if seeds err on the same test samples, and more if they err on different
    ones.
    """
    draw = np.random.default_rng(seeds * tested)
    for p in (0.1, 0.5, 0.9):
        for spread in (0, 0.02):
            found = map(estimate, rates(draw, 1500, p, spread, seeds, tested))
            assert 0.93 <= covered([*found], p) <= 0.985, (p, spread)
        found = map(estimate, rates(draw, 500, p, 0.01, seeds, tested, agreement=0.5))
        assert covered([*found], p) >= 0.95


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_of_errors_cover_what_they_say(seeds):
    draw = np.random.default_rng(seeds)
    for spread in (0.01, 0.1, 0.3):
        found = [estimate(one) for one in errors(draw, 2500, 150, spread, seeds)]
        assert covered(found, 150) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("tested", [64, 500, 2000])
def test_intervals_of_deterministic_rates_cover_what_they_say(tested):
    right = np.random.default_rng(tested).binomial(tested, 0.8, size=2500) / tested
    found = [estimate(SeedScores((x, x), "accuracy", tested, True)) for x in right.tolist()]
    assert covered(found, 0.8) == pytest.approx(0.95, abs=0.02)


def test_two_seeds_have_no_interval():
    draw = np.random.default_rng(2)
    found = [
        *map(estimate, rates(draw, 20, 0.5, 0.02, 2, 64)),
        *map(estimate, errors(draw, 20, 1, 0.1, 2)),
    ]
    assert all(isinstance(one, Estimate) and math.isnan(one.low) for one in found)
