"""Makes tables, figures and a page from records alone.

from reports import load
load("results").leaderboard(dataset="mnist")
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.report_object import Report

__all__ = ["Report", "load"]


def load(results: str | PathLike[str] = "results") -> Report:
    """Reads a results folder.

    Args:
        results: the folder.

    Returns:
        A `Report`, whose methods return tables as DataFrames and draw figures.

    Raises:
        benchmarks.records.errors.InputError: if the folder holds no results, or damaged ones.
        OSError: if a file cannot be read.
    """
    from reports.report_object import Report  # pandas takes most of a second

    return Report(results)


def __getattr__(name: str) -> Any:
    """Imports `Report` when it is first asked for: pandas takes most of a second."""
    if name == "Report":
        from reports.report_object import Report

        return Report
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
