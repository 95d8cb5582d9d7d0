"""Builds the table of floors, and the table that says whether each cell is above its floors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pandas as pd

from reports.formats import SCORE_COLUMNS, frame, one_line
from reports.results import Results
from reports.row_order import by_task
from reports.statistics.floor_scores import Floor, trivial_answers, untrained_networks
from reports.statistics.ranking import RankedCell, place, rankings

FLOORS = {
    "task": "str",
    "dataset": "str",
    "profile": "str",
    "floor": "str",
    "variant": "str",
    "metric": "str",
    "value": "float64",
    "n": "int64",
}

FLOORS_NOTE = """\
- **floor** names a trivial answer, scored on the same test data as the variants, or *untrained*:
  the network of **variant** before its first step. A trivial answer has a variant only where its
  score differs between variants, since they are scored on different targets or test samples.
- **value** is the mean over **n** seeds.
"""

ABOVE_FLOORS = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    "profile": "str",
    "verdict": "str",
    **SCORE_COLUMNS,
    "floor": "float64",
    "floor_name": "str",
}


def floors(results: Results) -> pd.DataFrame:
    """Builds one row per floor and metric; an untrained network has rows for each variant."""
    rows: list[tuple[Any, ...]] = []
    for (task, dataset, profile), group in groupby(results.cells, key=place):
        cells = list(group)
        untrained = [floor for cell in cells for floor in untrained_networks(cell)]
        found = [*trivial_answers(cells), *untrained]
        rows += [(task, dataset, profile, *_floor(floor)) for floor in found]
    return frame(FLOORS, rows)


def above_floors(results: Results) -> pd.DataFrame:
    """Builds one row per cell of a trained variant, with a verdict: whether it is above its floors.

    Columns are those of `ABOVE_FLOORS`; the verdict is `above`, `not above`, `no final` (none has
    completed) or `no floors` (the records have none).
    """
    return frame(ABOVE_FLOORS, map(_verdict_row, _trained(results)))


def count_sentences(results: Results) -> list[str]:
    """Says for each profile how many cells of trained variants are above all their floors.

    A sentence names the cells that are not. A profile whose records have no floors has no sentence.
    """
    by_profile: dict[str, dict[str, list[RankedCell]]] = {}
    for ranked in _trained(results):
        verdicts = by_profile.setdefault(ranked.cell.profile, {})
        verdicts.setdefault(_verdict(ranked), []).append(ranked)
    return [
        _sentence(profile, verdicts)
        for profile, verdicts in sorted(by_profile.items())
        if verdicts.keys() & {"above", "not above"}
    ]


def _floor(floor: Floor) -> tuple[Any, ...]:
    return floor.name, floor.variant, floor.metric, floor.value, floor.n


def _trained(results: Results) -> Iterator[RankedCell]:
    return (s for group in rankings(results) for s in group if s.trained)


def _verdict(ranked: RankedCell) -> str:
    if not ranked.score.n:
        return "no final"
    if not ranked.floors:
        return "no floors"
    return "above" if ranked.above else "not above"


def _verdict_row(ranked: RankedCell) -> tuple[Any, ...]:
    cell, (name, value) = ranked.cell, ranked.floor
    where = cell.task, cell.dataset, cell.variant, cell.profile
    return (
        *(*where, _verdict(ranked), cell.metric, cell.direction),
        *(*ranked.score, value, name),
    )


def _sentence(profile: str, verdicts: dict[str, list[RankedCell]]) -> str:
    above = len(verdicts.get("above", []))
    cells = sum(map(len, verdicts.values()))
    text = f"{above} of {cells} cells of trained variants are above all their floors"
    text = f"Profile {one_line(profile)}: {text}."
    heads = {
        "not above": "Not above",
        "no final": "Without a final",
        "no floors": "Without floors in their records",
    }
    for verdict, head in heads.items():
        if named := verdicts.get(verdict):
            text += f" {head}: {_names(named)}."
    return text


def _names(cells: list[RankedCell]) -> str:
    """Names cells by variant: `cnn on mnist, usps; vit on svhn`."""
    by_variant: dict[tuple[str, str], list[str]] = {}
    for ranked in cells:
        cell = ranked.cell
        by_variant.setdefault((cell.task, cell.variant), []).append(one_line(cell.dataset))
    order = sorted(by_variant, key=lambda key: (by_task(key[0]), key[1]))
    return "; ".join(f"{one_line(key[1])} on {', '.join(by_variant[key])}" for key in order)
