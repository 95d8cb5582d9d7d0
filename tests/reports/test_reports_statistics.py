import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics import (
    bootstrap,
    holm,
    interquartile_mean,
    interval,
    mean_ranks,
    paired,
)


def test_hand_computed_example():
    # mean 3, s² = (4+1+0+1+4)/4 = 2.5, t(0.975, 4) = 2.7764, so 3 ± 2.7764 · √(2.5/5)
    found = interval([1, 2, 3, 4, 5])
    assert (found.mean, found.n) == (3, 5)
    assert found.low == pytest.approx(1.0368, abs=1e-4)
    assert found.high == pytest.approx(4.9632, abs=1e-4)
    assert found.half_width == pytest.approx(1.9632, abs=1e-4)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30).filter(
        lambda v: max(v) - min(v) > 1e-3
    ),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_agrees_with_scipy(values, confidence):
    expected = stats.t.interval(
        confidence, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values)
    )
    found = interval(values, confidence=confidence)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_the_order_of_values_changes_no_digit():
    values = [0.1, 0.7, 1e-9, 0.3, 123456.789]
    assert len({interval(order) for order in permutations(values)}) == 1


def test_few_or_broken_values_have_no_interval():
    assert [math.isnan(x) for x in interval([])] == [True, True, True, False]
    assert interval([0.5])[::3] == (0.5, 1)
    assert math.isnan(interval([0.5]).half_width)
    assert math.isnan(interval([0.5, math.nan]).mean)
    assert interval([0.5, math.inf]).mean == math.inf
    assert math.isnan(interval([-math.inf, math.inf]).low)
    assert interval([0.5, 0.5])[:3] == (0.5, 0.5, 0.5)


def test_paired_differences_agree_with_scipy():
    ours, theirs = {1: 0.9, 2: 0.8, 3: 0.95, 7: 0.1}, {1: 0.85, 2: 0.7, 3: 0.94, 8: 0.5}
    found = paired(ours, theirs)
    expected = stats.ttest_rel([0.9, 0.8, 0.95], [0.85, 0.7, 0.94])
    assert found.n == 3
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize(
    ("ours", "theirs", "n", "p"),
    [
        ({1: 2.0, 2: 2.0}, {1: 1.0, 2: 1.0}, 2, 0.0),
        ({1: 2.0, 2: 3.0}, {1: 2.0, 2: 3.0}, 2, 1.0),
        ({1: 2.0}, {1: 1.0}, 1, math.nan),
        ({1: 2.0}, {2: 1.0}, 0, math.nan),
    ],
)
def test_pairs_without_spread_or_too_few(ours, theirs, n, p):
    found = paired(ours, theirs)
    assert found.n == n
    assert found.p == pytest.approx(p, nan_ok=True)


def test_holm_by_hand():
    # Holm 1979: ordered .01 .02 .03 .04 by 4, 3, 2, 1, never below the one before
    assert holm([0.04, 0.01, math.nan, 0.03, 0.02]) == pytest.approx(
        [0.06, 0.04, math.nan, 0.06, 0.06], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40))
def test_interquartile_mean_is_scipys_trimmed_mean(values):
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-9)


def test_bootstrap_agrees_with_scipy():
    values = [0.2, 0.5, 0.9, 0.4, 0.7, 0.6, 0.1, 0.8]
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=1, n_resamples=20_000)
    found = bootstrap([values])
    assert found.mean == pytest.approx(np.mean(values))
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.02)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.02)
    assert bootstrap([values]) == found


def test_bootstrap_draws_within_a_stratum():
    # Far apart, without spread within: only what mixes the strata has an interval.
    assert bootstrap([[0.0] * 5, [100.0] * 5])[:3] == (50, 50, 50)
    assert bootstrap([[0.0] * 5 + [100.0] * 5]).half_width > 10
    assert math.isnan(bootstrap([]).mean)
    assert math.isnan(bootstrap([[1.0, math.nan]]).low)


def test_mean_ranks_agree_with_scipy():
    table = np.round(np.random.default_rng(0).random((4, 6)), 1)
    found = mean_ranks({str(row): list(values) for row, values in enumerate(table)})
    assert list(found.mean.values()) == pytest.approx(stats.rankdata(table, axis=0).mean(axis=1))
    assert found.p == pytest.approx(stats.friedmanchisquare(*table).pvalue)


@pytest.mark.parametrize("k", [2, 3, 5, 10, 20])
def test_critical_difference_agrees_with_scipy(k):
    found = mean_ranks({str(number): [number] * 5 for number in range(k)})
    q = stats.studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2)
    expected = q * math.sqrt(k * (k + 1) / 30)
    assert found.critical_difference == pytest.approx(expected, abs=1e-4)
    assert found.can_tell == (expected < k - 1)


def test_critical_difference_of_the_literature():
    # Demšar 2006, section 3.2.2: 4 classifiers on 14 data sets, q = 2.569, CD = 1.25
    found = mean_ranks({str(number): [number] * 14 for number in range(4)})
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)


def test_one_dataset_or_one_variant_is_not_tested():
    assert math.isnan(mean_ranks({"a": [1.0], "b": [2.0]}).critical_difference)
    assert not mean_ranks({"a": [1.0, 2.0]}).can_tell
    assert mean_ranks({}).datasets == 0


def test_student_t_covers_what_it_says_and_a_bootstrap_of_three_does_not():
    samples = np.random.default_rng(0).normal(size=(600, 3))

    def covers(intervals):
        return np.mean([found.low < 0 < found.high for found in intervals])

    assert covers(map(interval, samples)) == pytest.approx(0.95, abs=0.03)
    assert covers(bootstrap([sample]) for sample in samples) == pytest.approx(0.74, abs=0.06)
