"""Builds the leaderboard: one row per cell by its primary metric, and one per floor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.flags import data_states, mixtures
from reports.formats import SCORE_COLUMNS, frame, readable
from reports.published import beside, differences, gap
from reports.results import Cell, Results
from reports.statistics.floor_scores import PREFIX, UNTRAINED, Floor, trivial_answers
from reports.statistics.intervals import Estimate, SeedScores
from reports.statistics.ranking import RankedCell, place, rankings, score_order

SCORE = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    **SCORE_COLUMNS,
    "by_seed": "str",
    "data": "str",
    "profile": "str",
}

LEADERBOARD = SCORE | {
    "kind": "str",
    "mark": "str",
    "floor": "float64",
    "floor_name": "str",
    "untrained": "float64",
    "behind": "float64",
    "behind_at_most": "float64",
    "published": "float64",
    "gap": "float64",
    "trials": "Int64",
    "test_samples": "Int64",
    "progress": "str",
    "notes": "str",
}

SCORES_NOTE = """\
- **mean** is over the *seeds* completed finals of a cell: the best trial's hyper-parameters,
  trained with fresh seeds, each scored once on test data. A cell without such a final yet has 0
  seeds and no figure.
- **ci_low** and **ci_high** bound the 95 % interval of that mean: of 100 such intervals, at least
  95 include what the mean would be over very many seeds and test samples. **ci_of** says what it
  includes: *seeds and test set*; *seeds alone*, where the spread over test samples is not known; or
  why there is none: *too few seeds* (fewer than three). *deterministic*: all seeds are equal since
  nothing is random. **by_seed** has the score of each seed.
- **direction** says whether a higher (maximize) or a lower (minimize) mean is better.
  Rows are best first in each task, dataset and profile.
- **data** is the state of the data: *official* (the published files, checksum known), *unofficial*
  (reads well, differs from them), *partial* (fewer samples than official), *generated* (moving
  sequences made from another dataset's images), *stand-in* (rendered, not the dataset at all: such
  figures say nothing of it), *own* (the user's own dataset). Several states in one cell are
  joined by +.
"""

LEADERBOARD_NOTE = (
    SCORES_NOTE
    + """\
- **kind**: *variant*, or *floor*, a trivial answer scored on the same test data. The rows of floors
  follow those of the variants on their dataset; they have no seeds and no mark.
- **floor** is the best floor that counts for the row, **floor_name** its name: a trivial answer or
  **untrained**, the mean of the same network before its first step.
- **mark**: *not above floors*, the mean is not better than each floor of the row, or its interval
  includes one; *floor*, the same of a variant that learns nothing by gradients, such as copy-last.
  Of the others: *best*, all others are worse; *may be best*, the scores do not rule it out; *worse*
  than another, by more than chance explains; *too few seeds* (fewer than three) to say. In at least
  95 of 100 such tables the truly best one is marked *best* or *may be best*.
- **behind** is how much worse the mean is than that of the first row that was compared.
  **behind_at_most** is the most that it may be behind the truly best one; it holds for all rows of
  a dataset at once in at least 95 of 100 tables.
- **published** is the figure of the variant's paper or code, **gap** how much better (+) or worse
  (-) ours is, empty where the two can't be compared; *notes* and the table `published` say why.
- **trials** is the number of finished trials of the search for the hyper-parameters; 0 means the
  published recipe, but for what the profile sets, without a search. **test_samples** is the size of
  the test set that scored the row.
- **progress** is *done*, or what is there of what is planned. **notes** say what mixes here.
"""
)


def leaderboard(results: Results) -> pd.DataFrame:
    """Builds one row per cell, of its primary metric over its completed finals, best first.

    The rows of a dataset's floors follow those of its cells, best first too.
    """
    mixed = mixtures(results)
    rows = (row for group in rankings(results) for row in _board(group, mixed))
    return frame(LEADERBOARD, rows)


def shown_floors(group: list[RankedCell]) -> list[Floor]:
    """Lists the trivial answers that have a row below the variants, by the primary metric.

    Args:
        group: the rankings of one task, dataset and profile.

    Returns:
        The floors, best first; those of equal score by name.
    """
    cells = [ranked.cell for ranked in group]
    first = cells[0]
    found = [floor for floor in trivial_answers(cells) if floor.metric == first.metric]
    return sorted(found, key=lambda floor: (score_order(floor.value, first.direction), floor.name))


def floor_name(floor: Floor) -> str:
    """Returns the name of a floor's row in tables of variants, such as `floor: last frame`.

    The variant's name follows in brackets where the floor is of one variant alone.
    """
    return f"{PREFIX}{floor.name} ({floor.variant})" if floor.variant else PREFIX + floor.name


def by_seed(seeds: SeedScores) -> str:
    """Lists the score of each seed, such as `[0.9725, 0.9780]`; an empty text without a score.

    The brackets keep a single score a text when the table is read from CSV.
    """
    return f"[{', '.join(map(readable, seeds.values))}]" if seeds.values else ""


def score_row(cell: Cell, seeds: SeedScores, score: Estimate, direction: str) -> tuple[Any, ...]:
    where = (cell.task, cell.dataset, cell.variant, seeds.metric, direction)
    return (*where, *score, by_seed(seeds), data_states(cell), cell.profile)


def _board(
    group: list[RankedCell], mixed: dict[tuple[str, str, str], list[str]]
) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of one task, dataset and profile: of its variants, then of its floors."""
    for ranked in group:
        yield _variant_row(ranked, mixed)
    for floor in shown_floors(group):
        yield _floor_row(floor, group, mixed)


def _floor_row(
    floor: Floor, group: list[RankedCell], mixed: dict[tuple[str, str, str], list[str]]
) -> tuple[Any, ...]:
    cell = group[0].cell
    # A floor of one variant has nothing to do with the runs of others.
    owners = [s.cell for s in group if floor.variant in ("", s.cell.variant)]
    runs = [run for owner in owners for run in owner.scored if floor.name in run.floors]
    states = " + ".join(sorted({run.data.state for run in runs if run.data}))
    where = (cell.task, cell.dataset, floor_name(floor), cell.metric, cell.direction)
    return (
        *(*where, floor.value, math.nan, math.nan, 0, "", "", states, cell.profile),
        *("floor", "", math.nan, "", *(math.nan,) * 5),
        *(None, test_set_size(runs), "", "; ".join(mixed.get(place(cell), []))),
    )


def test_set_size(runs: Iterable[RunRecord]) -> int | None:
    """Returns the size of the test set that scored these runs; None if unknown or not the same."""
    sizes = {run.samples.test for run in runs if run.samples}
    return sizes.pop() if len(sizes) == 1 else None


def _variant_row(
    ranked: RankedCell, mixed: dict[tuple[str, str, str], list[str]]
) -> tuple[Any, ...]:
    cell = ranked.cell
    name, floor = ranked.floor
    figure = beside(cell, cell.metric)
    value, distance, notes = math.nan, math.nan, list(mixed.get(place(cell), []))
    if figure and cell.scored:
        value, distance = figure.value, gap(ranked.score.mean, cell, figure)
        notes.append(f"published: {'; '.join(differences(cell, figure))}")
    return (
        *score_row(cell, ranked.seeds, ranked.score, cell.direction),
        *("variant", ranked.mark, floor, name, ranked.floors.get(UNTRAINED, math.nan)),
        ranked.behind,
        ranked.at_most,
        value,
        distance,
        cell.ledger.states.finished,
        test_set_size(cell.scored),
        cell.progress,
        "; ".join(notes),
    )
