"""Sorts rows by task and dataset, alike in tables, figures and page."""

from __future__ import annotations

TASKS = ("classification", "autoencoding", "prediction")
DATASETS = ("mnist", "moving_mnist", "usps", "cifar10", "svhn")


def by_task(name: str) -> tuple[int, str]:
    """Returns a sorting key of a task: the known ones first, then others by name."""
    return _place(TASKS, name), name


def by_dataset(name: str) -> tuple[int, str]:
    """Returns a sorting key of a dataset: the known ones first, then others by name."""
    return _place(DATASETS, name), name


def _place(known: tuple[str, ...], name: str) -> int:
    return known.index(name) if name in known else len(known)
