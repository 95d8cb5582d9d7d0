"""The report as a library: `reports.load(folder)` gives a `Report`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reports import floor_tables, tables
from reports.index import curves
from reports.records import load


class Report:
    """Every table of a results folder as a DataFrame, as of when it was loaded.

    docs/reading-the-tables.md says what each column means.
    """

    def __init__(self, root: Path) -> None:
        self._results = load(root)

    def leaderboard(self) -> pd.DataFrame:
        """Builds one row per cell, best first, and after each dataset's cells its floors."""
        return tables.leaderboard(self._results)

    def floors(self) -> pd.DataFrame:
        """Builds one row per floor and metric; an untrained network has rows for each variant."""
        return tables.floors(self._results)

    def above_floors(self) -> pd.DataFrame:
        """Builds one row per cell of a trained variant, with a verdict on its floors.

        `verdict` is `above`, `not above`, `no final` (none has completed) or `no floors` (its
        records have none).
        """
        return floor_tables.above_floors(self._results)

    def metrics(self) -> pd.DataFrame:
        """A row a cell and test metric."""
        return tables.metrics(self._results)

    def ranks(self) -> pd.DataFrame:
        """A row a task, profile and variant: how it stands across datasets."""
        return tables.ranks(self._results)

    def published(self) -> pd.DataFrame:
        """A row a published figure, beside ours."""
        return tables.published(self._results)

    def runs(self) -> pd.DataFrame:
        """A row a finished run."""
        return tables.runs(self._results)

    def best_params(self) -> pd.DataFrame:
        """Builds one row per cell and hyper-parameter of its finals."""
        return tables.best_params(self._results)

    def pareto(self) -> pd.DataFrame:
        """A row a trial on the front of a study of two objectives, best score first."""
        return tables.pareto(self._results)

    def importance(self) -> pd.DataFrame:
        """A row a cell and searched hyper-parameter."""
        return tables.importance(self._results)

    def failures(self) -> pd.DataFrame:
        """A row a failed run, and a cell that could have no final."""
        return tables.failures(self._results)

    def data(self) -> pd.DataFrame:
        """Builds one row per dataset state and number of samples used."""
        return tables.data(self._results)

    def provenance(self) -> pd.DataFrame:
        """A row each fact of code, libraries and machine."""
        return tables.provenance(self._results)

    def costs(self) -> pd.DataFrame:
        """A row a cell: what its runs cost, by the clock."""
        return tables.costs(self._results)

    def curves(self, study: str) -> pd.DataFrame:
        """All metrics of a cell's runs by epoch: run_id, epoch, metric, value.

        Args:
            study: the cell's name, such as `capsnet-mnist-quick`. Raises KeyError for another.
        """
        cells = {cell.study: cell for cell in self._results.cells}
        return curves(self._results, cells[study])

    def flags(self) -> list[str]:
        """Sentences on what to know of all tables: what mixes, what is unfinished."""
        return tables.flags(self._results)
