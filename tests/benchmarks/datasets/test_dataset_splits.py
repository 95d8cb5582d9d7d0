"""Tests that the stratified split equals scikit-learn's, with which older records were made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from benchmarks.datasets.splits import stratified_cut


@given(
    st.lists(st.integers(2, 40), min_size=2, max_size=12),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_cut_is_scikit_learns(
    counts: list[int], seed: int, of_train: float, of_held: float
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    classes, total = len(counts), len(labels)
    held = classes + int(of_held * (total - 2 * classes))
    train = classes + int(of_train * (total - held - classes))
    wanted = train_test_split(
        np.arange(total), train_size=train, test_size=held, stratify=labels, random_state=seed
    )
    found = stratified_cut(labels, train=train, held=held, seed=seed)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("labels", "train", "held"), [([0, 0, 1], 1, 1), ([0, 0, 1, 1], 1, 2), ([0, 0, 1, 1], 3, 2)]
)
def test_what_cannot_be_cut_is_refused(labels: list[int], train: int, held: int) -> None:
    with pytest.raises(ValueError, match="sample"):
        stratified_cut(np.array(labels), train=train, held=held, seed=0)
