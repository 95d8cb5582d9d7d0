"""Builds shaded tables by dataset: scores of variants, and important hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.records.record import DataState
from reports.flags import mixtures, test_set
from reports.floor_scores import UNTRAINED
from reports.formats import one_line, readable, with_interval
from reports.page.cell_runs import anchor, group_name
from reports.ranking import BELOW, RankedCell, place
from reports.results import Cell, Results
from reports.searches import telling_importance
from reports.tables.leaderboard_table import by_seed, floor_name, shown_floors
from reports.tables.trial_lists import as_text


def matrices(results: Results, groups: Sequence[list[RankedCell]]) -> Iterator[dict[str, Any]]:
    """Yields one matrix per task and profile: a row per variant and floor, a column per dataset.

    Cells above their floors are shaded by the mean. A column's head has the metric and the size of
    the test set, and says what mixes in it.
    """
    mixed = mixtures(results)
    tables: dict[tuple[str, str], list[list[RankedCell]]] = {}
    for group in groups:
        tables.setdefault((group[0].cell.task, group[0].cell.profile), []).append(group)
    for where, columns in tables.items():
        cells = {
            (s.cell.variant, s.cell.dataset): _score(s, group) for group in columns for s in group
        }
        firsts = [group[0].cell for group in columns]
        rows = [
            {
                "name": one_line(variant),
                "kind": "variant",
                "small": "",
                "cells": [cells.get((variant, cell.dataset)) for cell in firsts],
            }
            for variant in sorted({variant for variant, _ in cells})
        ]
        heads = [_head(group, mixed.get(place(group[0].cell), [])) for group in columns]
        rows += _floor_rows(columns)
        yield {"name": group_name(*where), "corner": "variant", "heads": heads, "rows": rows}


def _head(group: list[RankedCell], mixed: list[str]) -> dict[str, str]:
    cell = group[0].cell
    tests = {test_set(r.samples) for s in group for r in s.cell.scored if r.samples}
    test = sorted(tests) if len(tests) == 1 else []
    return {
        "dataset": one_line(cell.dataset),
        "small": "; ".join((_metric(cell), *test, *mixed)),
    }


def _floor_rows(columns: list[list[RankedCell]]) -> list[dict[str, Any]]:
    """Builds one row per trivial answer that any dataset has."""
    found = [{floor_name(floor): floor.value for floor in shown_floors(group)} for group in columns]
    return [
        {
            "name": one_line(name),
            "kind": "floor",
            "small": "",
            "cells": [_floor(floors[name]) if name in floors else None for floors in found],
        }
        for name in sorted({name for floors in found for name in floors})
    ]


def _floor(value: float) -> dict[str, Any]:
    return {"id": "", "heat": None, "mark": "floor", "text": readable(value), "small": ""}


def settings(results: Results) -> Iterator[dict[str, Any]]:
    """Yields one matrix per task and profile: the chosen values, shaded by importance.

    A row is a searched hyper-parameter of a variant. Rows of a variant are sorted by mean
    importance over datasets. A variant whose ledgers have no importance has no row.
    """
    tables: dict[tuple[str, str], list[Cell]] = {}
    for cell in results.cells:
        if cell.chosen:
            tables.setdefault((cell.task, cell.profile), []).append(cell)
    for where, cells in tables.items():
        datasets = [*dict.fromkeys(cell.dataset for cell in cells)]
        by_place = {(cell.variant, cell.dataset): cell for cell in cells}
        shares: dict[tuple[str, str], list[float]] = {}
        for cell in cells:
            for name, share in cell.ledger.importance.items():
                shares.setdefault((cell.variant, name), []).append(share)
        order = sorted(shares, key=lambda k: (k[0], -math.fsum(shares[k]) / len(shares[k]), k[1]))
        rows = [
            {
                "name": one_line(name),
                "kind": "setting",
                "small": one_line(variant),
                "cells": [_setting(by_place.get((variant, d)), name) for d in datasets],
            }
            for variant, name in order
        ]
        heads = [{"dataset": one_line(dataset), "small": ""} for dataset in datasets]
        if rows:
            name = group_name(*where)
            yield {"name": name, "corner": "setting", "heads": heads, "rows": rows}


def _metric(cell: Cell) -> str:
    return f"{one_line(cell.metric)} {'↑' if cell.direction == 'maximize' else '↓'}"


def _score(ranked: RankedCell, group: list[RankedCell]) -> dict[str, Any]:
    cell, score = ranked.cell, ranked.score
    means = [s.score.mean for s in group if s.above]
    heat = None
    if ranked.above and len(means) > 1 and max(means) > min(means):
        share = (score.mean - min(means)) / (max(means) - min(means))
        heat = round(100 * (share if cell.direction == "maximize" else 1 - share))
    mean, between = with_interval(
        score.mean, score.low, score.high, score.of, by_seed(ranked.seeds)
    )
    sign, mark = ("† ", "") if ranked.mark in BELOW else ("", ranked.mark)
    parts = (between, f"n = {score.n}" if score.n else "")
    kept = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts]
    untrained = readable(ranked.floors.get(UNTRAINED, math.nan))
    progress = "" if cell.progress == "done" else cell.progress
    data = DataState.stand_in if score.n and DataState.stand_in in cell.states else ""
    return {
        "id": anchor(cell),
        "heat": heat,
        "mark": ranked.mark,
        "text": f"{sign}{mean}" if mean else "no final",
        "small": ", ".join(filter(None, (mark, *kept, data, progress))),
        "untrained": f"untrained {untrained}" if untrained else "",
    }


def _setting(cell: Cell | None, name: str) -> dict[str, Any] | None:
    if cell is None or cell.chosen is None or name not in cell.chosen.spec.hyperparameters:
        return None
    share = telling_importance(cell).get(name, math.nan)
    value = cell.chosen.spec.hyperparameters[name]
    known = math.isfinite(share)
    return {
        "id": anchor(cell),
        "heat": round(100 * min(1.0, max(0.0, share))) if known else None,
        "mark": "",
        "text": readable(value) if isinstance(value, float) else one_line(as_text(value)),
        "small": f"{share:.0%}" if known else "",
        "untrained": "",
    }
