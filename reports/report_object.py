"""Gives the tables and figures of a results folder to Python and notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pandas as pd

from benchmarks.records.errors import InputError
from reports.compare import compare
from reports.curve_index import curves
from reports.flags import flags
from reports.results import read_results
from reports.selection import Filters, matching, select, unknown_name
from reports.statistics.ranking import RankedCell, rankings
from reports.tables import TABLES
from reports.tables.floor_tables import above_floors
from reports.tables.score_matrix import WHERE
from reports.tables.trial_lists import trials_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Report:
    """Holds the tables and figures of a results folder, as of when it was read.

    Each method that returns a table makes a new DataFrame. Most take the filters `task`, `variant`,
    `dataset` and `profile`: a name, a pattern such as `caps*`, or a list of both. Filters leave out
    rows and change no figure: marks and ranks still compare all variants. An unknown name raises
    `InputError`, which names the nearest known one. docs/reading-the-tables.md explains columns.

    Args:
        folder: the results folder.

    Raises:
        benchmarks.records.errors.InputError: if the folder holds no results, or damaged ones.
        OSError: if a file cannot be read.
    """

    def __init__(self, folder: str | PathLike[str] = "results") -> None:
        self._results = read_results(Path(folder))

    def __repr__(self) -> str:
        results = self._results
        single = f", {len(results.single)} single runs" if results.single else ""
        return (
            f"Report of {results.root}: {len(results.cells)} cells, {len(results.runs)} runs"
            f"{single}\n  profiles: {', '.join(self.profiles)}"
            f"\n  datasets: {', '.join(self.datasets)}\n  variants: {', '.join(self.variants)}"
        )

    @property
    def variants(self) -> list[str]:
        """Lists the variants of cells and single runs, sorted by name."""
        return sorted(self._known()["variant"])

    @property
    def datasets(self) -> list[str]:
        """Lists the datasets of cells and single runs, in the order of tables."""
        found = (cell.dataset for cell in self._results.cells)
        return [*dict.fromkeys((*found, *sorted(self._known()["dataset"])))]

    @property
    def profiles(self) -> list[str]:
        """Lists the profiles of cells and single runs, sorted by name."""
        return sorted(self._known()["profile"])

    @property
    def studies(self) -> list[str]:
        """Lists the names of the cells' studies, such as `capsnet-mnist-quick`."""
        return [cell.study for cell in self._results.cells]

    def table(self, name: str, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds a table by its name, such as `leaderboard`.

        Raises:
            InputError: if there is no such table, a name of a filter is unknown, or the table has
                no such column.
        """
        if name not in TABLES:
            raise InputError(unknown_name("table", name, list(TABLES)))
        return select(TABLES[name](self._results), self._known(), filters)

    def leaderboard(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per cell, best first, and after each dataset's cells its floors."""
        return self.table("leaderboard", **filters)

    def scores(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per run and metric, of cells and of single runs."""
        return self.table("scores", **filters)

    def trials(self, study: str | None = None, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per trial of a study, or one per trial and hyper-parameter of all studies.

        Args:
            study: the name of a study, such as `capsnet-mnist-quick`. The searched hyper-parameters
                are then columns `params_<name>`. None: all studies, with one row per trial and
                searched hyper-parameter.
            filters: for all studies.

        Raises:
            InputError: if a name is unknown.
        """
        if study is None:
            return self.table("trials", **filters)
        cells = {cell.study: cell for cell in self._results.cells}
        if study not in cells:
            raise InputError(unknown_name("study", study, list(cells)))
        return select(trials_of(cells[study]), self._known(), filters)

    def matrix(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds the means of the primary metric: variants in rows, datasets in columns.

        Returns:
            The index has the levels task, profile and variant. NaN: no final. With the filter
            `dataset`, other columns are left out.
        """
        datasets = filters.pop("dataset", None)
        table = self.table("matrix", **filters).set_index([*WHERE])
        if datasets is None:
            return table
        kept = matching("dataset", datasets, self._known()["dataset"] & set(table))
        return table[[name for name in table if name in kept]].dropna(how="all")

    def metrics(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per cell and test metric."""
        return self.table("metrics", **filters)

    def floors(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per floor and metric; an untrained network has rows for each variant."""
        return self.table("floors", **filters)

    def above_floors(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per cell of a trained variant, with a verdict on its floors.

        `verdict` is `above`, `not above`, `no final` (none has completed) or `no floors` (its
        records have none).
        """
        return select(above_floors(self._results), self._known(), filters)

    def ranks(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per task, profile and variant, with its skill and rank over datasets."""
        return self.table("ranks", **filters)

    def published(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per published figure, with the mean of our variant beside it."""
        return self.table("published", **filters)

    def runs(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per finished run of a cell, and per single run."""
        return self.table("runs", **filters)

    def best_params(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per cell and hyper-parameter of its finals."""
        return self.table("best_params", **filters)

    def pareto(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per trial on the front of a study with two objectives."""
        return self.table("pareto", **filters)

    def importance(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per cell and searched hyper-parameter, the most important first."""
        return self.table("importance", **filters)

    def failures(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per failed run, and per cell that could have no final."""
        return self.table("failures", **filters)

    def data(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per dataset state and number of samples used."""
        return self.table("data", **filters)

    def provenance(self) -> pd.DataFrame:
        """Builds one row per fact on code, libraries and machine, with its number of runs."""
        return self.table("provenance")

    def costs(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """Builds one row per cell: what its runs cost."""
        return self.table("costs", **filters)

    def compare(
        self, other: Report | str | PathLike[str], **filters: Unpack[Filters]
    ) -> pd.DataFrame:
        """Builds one row per cell of either folder: what changed from this report to the other.

        Args:
            other: a report, or its folder. `better` says how much better (+) or worse (-) it is.
            filters: as for all tables; names of either report are known.
        """
        second = other if isinstance(other, Report) else Report(other)
        theirs, results = second._known(), second._results  # noqa: SLF001 (of the same class)
        known = {name: mine | theirs[name] for name, mine in self._known().items()}
        return select(compare(self._results, results), known, filters)

    def curves(self, study: str) -> pd.DataFrame:
        """Reads all metrics of a cell's runs by epoch.

        Args:
            study: the cell's name, such as `capsnet-mnist-quick`.

        Returns:
            The columns run_id, epoch, metric and value.

        Raises:
            InputError: if there is no such study, or a run's metrics cannot be read.
        """
        cells = {cell.study: cell for cell in self._results.cells}
        if study not in cells:
            raise InputError(unknown_name("study", study, list(cells)))
        return curves(self._results, cells[study])

    def flags(self) -> list[str]:
        """Lists sentences on all tables: what is mixed, unfinished, or of few seeds."""
        return flags(self._results)

    def plot_scores(
        self,
        dataset: str,
        *,
        task: str | None = None,
        profile: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draws mean, interval and seeds of each variant on one dataset.

        Args:
            dataset: its name.
            task, profile: needed where the dataset has several.
            ax: where to draw; None: on pyplot's current axes.

        Raises:
            InputError: if a name is unknown, or more than one task or profile is left.
        """
        from reports.plots import draw_scores

        return draw_scores(_on(ax), self._group(dataset, task, profile))

    def plot_curves(
        self,
        dataset: str,
        metric: str | None = None,
        *,
        task: str | None = None,
        profile: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draws a metric by epoch, one line per variant: the mean over finals.

        Args:
            dataset: its name.
            metric: with its split, such as `train/loss`; None: the primary one on validation data.
            task, profile: needed where the dataset has several.
            ax: where to draw; None: on pyplot's current axes.

        Raises:
            InputError: if a name is unknown, or more than one task or profile is left.
        """
        from reports.plots import draw_curves

        group = self._group(dataset, task, profile)
        shown = metric or f"validation/{group[0].cell.metric}"
        trained = [s for s in group if any(run.epochs for run in s.cell.scored)]
        axes = draw_curves(_on(ax), self._results, trained, shown)
        axes.legend(fontsize="small")
        return axes

    def plot_matrix(self, *, ax: Axes | None = None, **filters: Unpack[Filters]) -> Axes:
        """Draws the matrix as a heat map: the best of each dataset is darkest.

        Args:
            ax: where to draw; None: on pyplot's current axes.
            filters: as for the matrix. One task and one profile must be left.

        Raises:
            InputError: if a name is unknown, or more than one task or profile is left.
        """
        from reports.plots import draw_matrix

        table = self.matrix(**filters)
        _one("task or profile", {f"{task}, {profile}" for task, profile, _ in table.index})
        shown = table.droplevel(["task", "profile"]).dropna(axis="columns", how="all")
        task, profile, _ = table.index[0]
        cells = [c for c in self._results.cells if (c.task, c.profile) == (task, profile)]
        return draw_matrix(_on(ax), shown, {cell.dataset: cell for cell in cells})

    def _group(self, dataset: str, task: str | None, profile: str | None) -> list[RankedCell]:
        """Finds the rankings of one dataset, task and profile."""
        found = list(rankings(self._results))
        for what, wanted in {"dataset": dataset, "task": task, "profile": profile}.items():
            if wanted is not None:
                named = matching(what, wanted, {getattr(group[0].cell, what) for group in found})
                found = [group for group in found if getattr(group[0].cell, what) in named]
        cells = [group[0].cell for group in found]
        _one("dataset, task or profile", {f"{c.dataset}, {c.task}, {c.profile}" for c in cells})
        return found[0]

    def _known(self) -> dict[str, set[str]]:
        results = self._results
        cells, single = results.cells, results.single
        return {
            "task": {cell.task for cell in cells} | {results.task(run) for run in single},
            "variant": {c.variant for c in cells} | {run.variant for run in results.every_run},
            "dataset": {c.dataset for c in cells} | {run.dataset for run in single},
            "profile": {c.profile for c in cells} | {run.spec.budget.profile for run in single},
        }


def _one(what: str, found: Iterable[str]) -> None:
    names = sorted(found)
    if len(names) != 1:
        known = "; ".join(names) or "none, since nothing is left"
        raise InputError(f"a figure shows one {what}: choose one of {known}")


def _on(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.gca()
