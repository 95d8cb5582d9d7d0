"""Splits labelled samples in two parts, stratified by class.

The result is equal to that of scikit-learn's `train_test_split`, with which older records were
made. Importing scikit-learn would take a second at the start of each worker.
"""

from __future__ import annotations

import numpy as np


def stratified_cut(
    labels: np.ndarray, *, train: int, held: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses samples for training, and other samples to hold out, stratified by class.

    Args:
        labels: (n,), the classes of the samples.
        train: number of samples to train on.
        held: number of samples to hold out.
        seed: the seed of the choice.

    Returns:
        The indices of the samples to train on, (train,), and of the samples to hold out, (held,);
        both in random order.

    Raises:
        ValueError: if there are too few samples, or a class would be missing from one part.
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if train + held > len(labels):
        raise ValueError(f"{train + held} of {len(labels)} samples cannot be chosen")
    if counts.min() < 2:
        raise ValueError("a class has only one sample")
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
    """Distributes `total` samples over classes, in proportion to the classes' counts.

    Shares are rounded down. The samples that are left go to the classes with the largest
    remainders; among equal remainders, classes are drawn at random.
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
