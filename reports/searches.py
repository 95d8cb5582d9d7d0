"""Writes sentences on the search that chose the hyper-parameters behind a table."""

from __future__ import annotations

from collections.abc import Mapping

from reports.results import Cell, Results
from reports.statistics.ranking import rankings

ENOUGH_TRIALS = 20
"""With fewer, importances change from one search to the next."""
_RECIPE = "the published recipe's, but for what the profile sets, without a search"


def search_sentences(results: Results) -> list[str]:
    """Says for each task and profile by how many trials hyper-parameters were chosen.

    Counts the finished trials of the cells that have a final and whose variant learns by gradients.
    A task and profile without such a cell has no sentence.

    Args:
        results: the cells and their runs.

    Returns:
        One sentence per profile for all tasks that it holds for. Where some cells had a
        search and others had none, it names those without.
    """
    found: dict[tuple[str, str], list[Cell]] = {}
    for group in rankings(results):
        for ranked in group:
            if ranked.trained and ranked.score.n:
                cell = ranked.cell
                found.setdefault((cell.task, cell.profile), []).append(cell)
    tasks: dict[tuple[str, str], list[str]] = {}
    for (task, profile), cells in found.items():
        tasks.setdefault((profile, _origin(cells)), []).append(task)
    return [
        f"In profile {profile}, each trained variant's hyper-parameters for {_and(names)} are "
        f"{origin}."
        for (profile, origin), names in tasks.items()
    ]


def telling_importance(cell: Cell) -> Mapping[str, float]:
    """Returns the importance of the searched hyper-parameters; none of fewer than twenty trials."""
    ledger = cell.ledger
    return ledger.importance if ledger.states.finished >= ENOUGH_TRIALS else {}


def _origin(cells: list[Cell]) -> str:
    counts = sorted({cell.ledger.states.finished for cell in cells} - {0})
    if not counts:
        return _RECIPE
    unsearched = [cell for cell in cells if not cell.ledger.states.finished]
    rest = f", except that they are {_RECIPE}, of {_names(unsearched)}" if unsearched else ""
    return f"{_best_of(counts[0], counts[-1])} on validation data{rest}"


def _and(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _best_of(fewest: int, most: int) -> str:
    if fewest < most:
        return f"the best of {fewest:,} to {most:,} trials"
    if most == 1:
        return "those of a single trial"
    return f"the {'better' if most == 2 else 'best'} of {most:,} trials"


def _names(cells: list[Cell]) -> str:
    """Names cells by dataset: `cnn, vit on usps; cnn on svhn`."""
    by_dataset: dict[str, list[str]] = {}
    for cell in cells:
        by_dataset.setdefault(cell.dataset, []).append(cell.variant)
    return "; ".join(f"{', '.join(sorted(v))} on {name}" for name, v in by_dataset.items())
