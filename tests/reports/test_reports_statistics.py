import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics import interval


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
