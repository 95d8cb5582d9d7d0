import math

import numpy as np
import pytest
from scipy import stats
from simulated import share

from reports.statistics import holm, mean_ranks, paired


def seeds(values):
    return dict(enumerate(values))


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
        ([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], 3, math.nan),  # no spread: not p = 0
        ([2.0, 2.5], [1.0, 1.0], 2, math.nan),
        ([2.0, 3.0], [2.0, 3.0], 2, 1.0),
        ([2.0], [1.0], 1, math.nan),
        ([], [1.0], 0, math.nan),
    ],
)
def test_finding_1_pairs_without_spread_or_too_few_have_no_p(ours, theirs, n, p):
    found = paired(seeds(ours), seeds(theirs))
    assert found.n == n
    assert found.p == pytest.approx(p, nan_ok=True)


def test_finding_1_one_test_image_in_each_seed_is_no_difference():
    found = paired(seeds([0.5] * 3), seeds([31 / 64] * 3), tested=64)
    assert found.p > 0.3
    assert found.low < 0 < found.high


def test_a_difference_of_rates_stays_inside_its_range():
    found = paired(seeds([1.0, 0.9, 0.0]), seeds([0.0, 0.1, 0.2]), tested=64)
    assert -1 <= found.low < found.mean < found.high <= 1


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("tested", [64, 500, 2000])
def test_intervals_of_differences_cover_what_they_say(n, tested):
    """Both variants err on the same test samples, except those that make the difference."""
    draw = np.random.default_rng(n * tested)
    common = draw.binomial(tested, 0.05, size=(1500, 1)) / tested
    moved = np.rint(0.02 * draw.normal(size=(1500, n)) * tested) / tested
    found = [paired(seeds(row), seeds([0] * n), tested=tested) for row in (common + moved).tolist()]
    assert share([one.low <= 0.05 <= one.high for one in found]) >= 0.94


def test_holm_by_hand():
    # Holm 1979: ordered .01 .02 .03 .04 by 4, 3, 2, 1, never below the one before
    assert holm([0.04, 0.01, math.nan, 0.03, 0.02]) == pytest.approx(
        [0.06, 0.04, math.nan, 0.06, 0.06], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1.0, 1.0]


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
