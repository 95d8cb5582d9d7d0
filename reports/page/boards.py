"""Builds the matrix of the page: a board per task and profile, with rows by mean place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reports.flags import mixtures
from reports.formats import one_line
from reports.page.page_format import Board, Column, Entry, Row
from reports.page.views import entry, heads, number, samples_words
from reports.published import Published, published_figures
from reports.results import Cell, Results
from reports.score_texts import published_text, score_text
from reports.statistics.aggregates import across
from reports.statistics.floor_scores import Floor
from reports.statistics.intervals import Estimate, mean
from reports.statistics.ranking import RankedCell, place
from reports.tables.leaderboard_table import shown_floors

Groups = Sequence[Sequence[RankedCell]]


def boards(results: Results, groups: Sequence[list[RankedCell]]) -> list[Board]:
    """Builds one board per task and profile.

    Args:
        results: the results.
        groups: the rankings of each task, dataset and profile.
    """
    mixed = mixtures(results)
    found = {(a.task, a.profile): a for a in across(results)}
    made = []
    for (task, profile), members in by_board(groups).items():
        a = found.get((task, profile))
        skills, doubles = (a.skills, a.doubles) if a else ({}, {})
        columns = [
            _column(g, mixed.get(place(g[0].cell), []), doubles.get(g[0].cell.dataset, ""))
            for g in members
        ]
        rows = _rows(members, skills, doubles)
        made.append(
            Board(task=one_line(task), profile=one_line(profile), columns=columns, rows=rows)
        )
    return made


def by_board(groups: Groups) -> dict[tuple[str, str], list[list[RankedCell]]]:
    """Sorts the rankings of datasets by task and profile."""
    found: dict[tuple[str, str], list[list[RankedCell]]] = {}
    for group in groups:
        found.setdefault((group[0].cell.task, group[0].cell.profile), []).append([*group])
    return found


def mean_places(groups: Groups) -> dict[str, float]:
    """Averages each variant's place over the datasets on which it has a score; NaN without one."""
    found: dict[str, list[int]] = {}
    for group in groups:
        for number_, ranked in enumerate(group, start=1):
            places = found.setdefault(ranked.cell.variant, [])
            if ranked.score.n:
                places.append(number_)
    return {variant: mean(places) for variant, places in found.items()}


def _rows(groups: Groups, skills: Mapping[str, Estimate], doubles: Mapping[str, str]) -> list[Row]:
    cells: dict[str, dict[str, str]] = {}
    for group in groups:
        for ranked in group:
            by_dataset = cells.setdefault(ranked.cell.variant, {})
            by_dataset[one_line(ranked.cell.dataset)] = ranked.cell.study
    places = mean_places([group for group in groups if group[0].cell.dataset not in doubles])
    places = dict.fromkeys(cells, math.nan) | places
    order = sorted(places, key=lambda v: (math.isnan(places[v]), places[v], v))
    return [_row(v, places[v], skills.get(v), cells[v]) for v in order]


def _row(variant: str, place: float, skill: Estimate | None, cells: dict[str, str]) -> Row:
    known = skill is not None and math.isfinite(skill.mean)
    between = known and skill is not None and math.isfinite(skill.low)
    return Row(
        variant=one_line(variant),
        place=number(place),
        skill=f"{skill.mean:.2f}" if skill and known else "",
        skill_interval=f"{skill.low:.2f} to {skill.high:.2f}" if skill and between else "",
        cells=cells,
    )


def _column(group: list[RankedCell], mixed: list[str], double_of: str) -> Column:
    cell = group[0].cell
    same = f"the data of {one_line(double_of)} again: not counted" if double_of else ""
    tested, copy = samples_words([ranked.cell for ranked in group])
    return Column(
        dataset=one_line(cell.dataset),
        heads=heads(cell),
        tested=", ".join(filter(None, (tested, copy, same, *mixed))),
        floor=_floor(shown_floors(group)[:1]),
        published=_published(cell),
    )


def _floor(best: Sequence[Floor]) -> Entry:
    """Shows the best trivial answer of a dataset."""
    return entry(score_text(best[0].metric, best[0].value), best[0].name) if best else entry("–")


def _published(cell: Cell) -> Entry:
    """Shows the best published figure of a dataset by the primary metric, of whatever model."""
    figures = [
        figure
        for figure in published_figures()
        if (figure.task, figure.dataset, figure.metric) == (cell.task, cell.dataset, cell.metric)
    ]
    if not figures:
        return entry("–")
    best = min(figures, key=lambda f: _order(f, cell))
    return entry(published_text(best.metric, best.value), one_line(best.model))


def _order(figure: Published, cell: Cell) -> float:
    return -figure.value if cell.direction == "maximize" else figure.value
