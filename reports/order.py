"""The order in which a reader meets tasks and datasets: one for tables, figures and page."""

from __future__ import annotations

TASKS = ("classification", "autoencoding", "prediction")
DATASETS = ("mnist", "moving_mnist", "usps", "cifar10", "svhn")


def by_task(name: str) -> tuple[int, str]:
    """Sorts names of tasks; those of later make come after, by the alphabet."""
    return _place(TASKS, name), name


def by_dataset(name: str) -> tuple[int, str]:
    """Sorts names of datasets; those of later make come after, by the alphabet."""
    return _place(DATASETS, name), name


def _place(known: tuple[str, ...], name: str) -> int:
    return known.index(name) if name in known else len(known)
