"""Cuts labelled samples in two, stratified by class.

The cut is scikit-learn's `train_test_split` bit for bit: records were made with it, and importing
it took a second of every worker's start.
"""

from __future__ import annotations

import numpy as np


def stratified_cut(
    labels: np.ndarray, *, train: int, held: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses samples for training and others to hold out, classes in proportion.

    Args:
        labels: (n,) the samples' classes.
        train: number of samples to train on.
        held: number of samples to hold out.
        seed: seed of the choice.

    Returns:
        (train,) and (held,) indices of the chosen samples, each in random order.

    Raises:
        ValueError: if there are too few samples, or a class would be missing from one part.
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if train + held > len(labels):
        raise ValueError(f"{train + held} of {len(labels)} samples cannot be chosen")
    if counts.min() < 2:
        raise ValueError("a class has one sample alone")
    if min(train, held) < len(counts):
        raise ValueError(f"{min(train, held)} samples cannot show {len(counts)} classes")
    random = np.random.RandomState(seed)
    of_train = _shares(counts, train, random)
    of_held = _shares(counts - of_train, held, random)
    members = np.split(np.argsort(classes, kind="stable"), np.cumsum(counts)[:-1])
    cut, rest = [], []
    for own, first, second in zip(members, of_train, of_held, strict=True):
        shuffled = own[random.permutation(len(own))]
        cut.append(shuffled[:first])
        rest.append(shuffled[first : first + second])
    return random.permutation(np.concatenate(cut)), random.permutation(np.concatenate(rest))


def _shares(counts: np.ndarray, total: int, random: np.random.RandomState) -> np.ndarray:
    """Shares out `total` samples over classes, in proportion to their counts.

    What rounding down leaves goes to the largest remainders; equal ones draw lots.
    """
    exact = counts / counts.sum() * total
    shares = np.floor(exact)
    remainders, left = exact - shares, total - int(shares.sum())
    for remainder in np.unique(remainders)[::-1]:
        if left == 0:
            break
        (tied,) = np.nonzero(remainders == remainder)
        drawn = random.choice(tied, size=min(left, len(tied)), replace=False)
        shares[drawn] += 1
        left -= len(drawn)
    return shares.astype(int)
