"""The report as a library: `reports.load(folder)` gives a `Report`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reports import tables
from reports.index import curves, load_indexed


class Report:
    """Every table of a results folder as a DataFrame, as of when it was loaded.

    docs/reading-the-tables.md says what each column means.
    """

    def __init__(self, root: Path) -> None:
        self._results = load_indexed(root)

    def leaderboard(self) -> pd.DataFrame:
        """A row a cell: its primary metric over its completed finals, best first."""
        return tables.leaderboard(self._results)

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
        """A row a cell and hyper-parameter of its best trial."""
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
        """A row each different data that runs saw."""
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
