"""Lists the cells whose data needs no files, because it is generated or has a stand-in."""

from __future__ import annotations

from benchmarks import datasets
from sweeps.matrix import list_cells

CELLS_WITHOUT_FILES = [
    (variant, dataset)
    for variant, dataset in list_cells()
    if not datasets.find(dataset).needs_files
]
"""Pairs (variant, dataset), in the order of the tables."""
