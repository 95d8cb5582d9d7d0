"""The cells whose data needs no files, because it is generated or has a stand-in."""

from __future__ import annotations

from benchmarks import datasets
from sweeps.matrix import matrix

CELLS_WITHOUT_FILES = [
    (variant, dataset) for variant, dataset in matrix() if not datasets.find(dataset).needs_files
]
"""Pairs (variant, dataset), in the order of the tables."""
