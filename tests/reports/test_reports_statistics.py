from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics.means import mean_ranks, paired


def seeds(values: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(values))


def test_paired_differences_agree_with_scipy() -> None:
    ours, theirs = {1: 0.9, 2: 0.8, 3: 0.95, 7: 0.1}, {1: 0.85, 2: 0.7, 3: 0.94, 8: 0.5}
    found = paired(ours, theirs)
    expected = stats.ttest_rel([0.9, 0.8, 0.95], [0.85, 0.7, 0.94])
    assert found.n == 3
    assert found.mean == pytest.approx(0.16 / 3)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval(0.05) == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize(
    ("ours", "theirs", "n", "equal"),
    [
        ([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], 3, False),  # no spread: not p = 0
        ([2.0, 2.5], [1.0, 1.0], 2, False),
        ([2.0, 3.0], [2.0, 3.0], 2, True),
        ([2.0], [1.0], 1, False),
        ([], [1.0], 0, False),
        ([math.inf] * 3, [1.0] * 3, 3, False),
    ],
)
def test_pairs_without_spread_or_too_few_have_no_p(
    ours: list[float], theirs: list[float], n: int, equal: bool
) -> None:
    found = paired(seeds(ours), seeds(theirs))
    assert (found.n, found.equal) == (n, equal)
    assert math.isnan(found.p)
    assert all(map(math.isnan, found.interval(0.05)))


def test_one_test_image_in_each_seed_is_no_difference() -> None:
    found = paired(seeds([0.5] * 3), seeds([31 / 64] * 3), tested=64)
    assert found.p > 0.3
    low, high = found.interval(0.05)
    assert low < 0 < high


def test_p_is_never_0() -> None:
    found = paired(seeds([1.0] * 3), seeds([0.0] * 3), tested=10_000)
    assert 0 < found.p < 1e-20


def test_a_difference_of_rates_stays_inside_its_range() -> None:
    found = paired(seeds([1.0, 0.9, 0.0]), seeds([0.0, 0.1, 0.2]), tested=64)
    low, high = found.interval(0.05)
    assert -1 <= low < found.mean < high <= 1


@given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 64)), min_size=3, max_size=6),
    st.sampled_from([0, 64]),
    st.sampled_from([0.05, 0.05 / 7]),
)
def test_an_interval_excludes_0_exactly_where_p_is_small(
    pairs: list[tuple[int, int]], tested: int, level: float
) -> None:
    found = paired(*(seeds([pair[side] / 64 for pair in pairs]) for side in (0, 1)), tested=tested)
    low, high = found.interval(level)
    if found.known and not math.isclose(found.p, level, rel_tol=1e-6):
        assert (found.p < level) == (low > 0 or high < 0)


def test_mean_ranks_agree_with_scipy() -> None:
    table = np.round(np.random.default_rng(0).random((4, 6)), 1)
    found = mean_ranks({str(row): list(values) for row, values in enumerate(table)})
    assert list(found.mean.values()) == pytest.approx(stats.rankdata(table, axis=0).mean(axis=1))
    assert found.p == pytest.approx(stats.friedmanchisquare(*table).pvalue)


@pytest.mark.parametrize("k", [2, 3, 5, 10, 20])
def test_critical_difference_agrees_with_scipy(k: int) -> None:
    found = mean_ranks({str(number): [number] * 5 for number in range(k)})
    q = stats.studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2)
    expected = q * math.sqrt(k * (k + 1) / 30)
    assert found.critical_difference == pytest.approx(expected, abs=1e-4)
    assert found.can_tell == (expected < k - 1)


def test_critical_difference_of_the_literature() -> None:
    # Demšar 2006, section 3.2.2: 4 classifiers on 14 data sets, q = 2.569, CD = 1.25
    found = mean_ranks({str(number): [number] * 14 for number in range(4)})
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)


def test_one_dataset_or_one_variant_is_not_tested() -> None:
    assert math.isnan(mean_ranks({"a": [1.0], "b": [2.0]}).critical_difference)
    assert not mean_ranks({"a": [1.0, 2.0]}).can_tell
    assert mean_ranks({}).datasets == 0
