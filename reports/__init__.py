"""What is read: tables, figures and a page, made from records alone.

from reports import load
load("results").leaderboard()
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.library import Report

__all__ = ["load"]


def load(results: str | PathLike[str] = "results") -> Report:
    """Reads a results folder, whose tables the report has as DataFrames.

    Raises:
        benchmarks.records.errors.InputError: if the folder holds no results, or damaged ones.
        OSError: if a file cannot be read.
    """
    from reports.library import Report  # pandas takes most of a second

    return Report(Path(results))
