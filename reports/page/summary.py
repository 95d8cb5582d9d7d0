"""Writes the page's summary: who is best where, by how much, how sure, at what cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

from reports.formats import one_line
from reports.page.boards import by_board
from reports.page.table_data import drawer_address
from reports.page.views import cost, gap_words, interval_text, percent, samples_words
from reports.published import FULL_BUDGETS, beside, gap
from reports.score_texts import (
    difference_text,
    difference_words,
    duration_text,
    is_rate,
    published_text,
    score_text,
)
from reports.statistics.ranking import RankedCell

CLOSE_RATE = 0.02
"""Two points of a hundred: a cheaper variant that is so close to the best is named."""
CLOSE_ERROR = 0.02
"""The same for errors, as a share of the best error."""

Piece = str | tuple[str, str]
"""A text, or a variant's name with the address of its drawer."""


class Sentence(TypedDict):
    dataset: str
    tested: str
    """Number of test samples, and state of the data."""
    pieces: list[Piece]


class TaskSummary(TypedDict):
    """Holds the sentences of one task and profile."""

    name: str
    lead: str
    datasets: list[Sentence]


class Comparisons(TypedDict):
    """Holds the comparisons with published figures in one profile."""

    note: str
    """Says why they can't be compared; empty where they can, but for those that say otherwise."""
    figures: list[list[Piece]]


def summaries(
    groups: Sequence[list[RankedCell]], doubles: Mapping[tuple[str, str], Mapping[str, str]]
) -> list[TaskSummary]:
    """Writes the sentences of each task and profile.

    Args:
        groups: the rankings of each task, dataset and profile.
        doubles: by task and profile, for each dataset with the data of an earlier one the name of
            that one. The earlier one alone counts.
    """
    made = []
    for (task, profile), members in by_board(groups).items():
        double = doubles.get((task, profile), {})
        counted = [group for group in members if group[0].cell.dataset not in double]
        made.append(
            TaskSummary(
                name=one_line(f"{task.capitalize()}, profile {profile}"),
                lead=_lead(counted),
                datasets=[_sentence(group, double) for group in members],
            )
        )
    return made


def link(ranked: RankedCell) -> Piece:
    """Names a variant, with the address of its drawer."""
    return one_line(ranked.cell.variant), drawer_address(ranked.cell.study)


def winner(group: Sequence[RankedCell]) -> RankedCell | None:
    """Returns the variant with the best mean of those above their floors; None if there is none."""
    return next((ranked for ranked in group if ranked.above and ranked.score.n), None)


def cheapest_close(group: Sequence[RankedCell]) -> RankedCell | None:
    """Finds the variant that takes the fewest seconds of those whose means are close to the best.

    Close is within two points of a hundred for rates, and within 2 % for errors. Only variants
    above their floors count.

    Returns:
        The variant, which may be the best itself; None if no seconds are known.
    """
    first = winner(group)
    if first is None:
        return None
    most = CLOSE_RATE if is_rate(first.cell.metric) else CLOSE_ERROR * abs(first.score.mean)
    close = [
        ranked
        for ranked in group
        if ranked.above and abs(ranked.score.mean - first.score.mean) <= most * (1 + 1e-9)
    ]
    known = [ranked for ranked in close if math.isfinite(cost(ranked.cell, "seconds"))]
    return min(known, key=lambda ranked: cost(ranked.cell, "seconds"), default=None)


def _lead(groups: Sequence[list[RankedCell]]) -> str:
    """Says which variant has the best mean most often, and how often that is certain."""
    scored = [group for group in groups if any(ranked.score.n for ranked in group)]
    winners = [ranked for group in scored if (ranked := winner(group))]
    if not winners:
        return "No variant is above its floors yet."
    counts = Counter(one_line(ranked.cell.variant) for ranked in winners)
    names = [f"{variant} on {n}" for variant, n in counts.most_common()]
    names[0] += f" of {len(scored)} dataset{'' if len(scored) == 1 else 's'}"
    certain = [one_line(ranked.cell.dataset) for ranked in winners if ranked.mark == "best"]
    sure = f"Certain on {', '.join(certain)}." if certain else "None is certain."
    return f"Best mean above floors: {', '.join(names)}. {sure}"


def _sentence(group: list[RankedCell], doubles: Mapping[str, str]) -> Sentence:
    dataset = group[0].cell.dataset
    first = doubles.get(dataset)
    if first is None:
        pieces = [*_dataset(group)]
    else:
        pieces = [f"the data of {one_line(first)} again, with another search: it does not count."]
    tested, copy = samples_words([ranked.cell for ranked in group])
    tested = f"{tested} test samples" + (f", {copy}" if copy else "")
    return Sentence(dataset=one_line(dataset), tested=tested, pieces=pieces)


def _dataset(group: list[RankedCell]) -> Iterator[Piece]:
    first = winner(group)
    if first is None:
        yield from _no_winner(group)
        return
    yield link(first)
    yield from _how_sure(first, group)
    yield from _excluded(first, group)
    yield from _cheaper(first, group)


def _no_winner(group: list[RankedCell]) -> Iterator[Piece]:
    best = next((ranked for ranked in group if ranked.score.n), None)
    if best is None:
        yield "no final yet."
        return
    yield "no variant is above its floors; the best mean: "
    yield from _beside_floor(best)
    yield "."


def _beside_floor(ranked: RankedCell) -> Iterator[Piece]:
    """Names a variant with its mean, and the floor that it is not clearly better than."""
    metric, (name, value) = ranked.cell.metric, ranked.floor
    yield link(ranked)
    yield f" ({score_text(metric, ranked.score.mean)}; "
    yield f"{one_line(name)} {score_text(metric, value)})" if name else "no floor)"


def _excluded(first: RankedCell, group: Sequence[RankedCell]) -> Iterator[Piece]:
    """Names the variants with a better mean that are not above their floors."""
    better = [one for one in group[: group.index(first)] if one.score.n]
    for place, ranked in enumerate(better):
        yield ", " if place else " Without "
        yield from _beside_floor(ranked)
    if better:
        yield "."


def _how_sure(first: RankedCell, group: list[RankedCell]) -> Iterator[Piece]:
    metric, mark = first.cell.metric, first.mark
    text, between = interval_text(first)
    text = percent(text, metric) if is_rate(metric) else f"{one_line(metric)} {text}"
    text += f" ({between})" if " to " in between else ""
    others = [one for one in group if one.above and one.score.n and one is not first]
    rivals = [one for one in others if one.mark == "may be best"]
    if mark == "best":
        yield f" is best: {text}"
        yield from _ahead(others, first)
        yield "."
    elif mark == "may be best" and rivals:
        yield f" leads: {text}. May be best, too: "
        yield from _listed(rivals)
        yield f"{' points' if is_rate(metric) else ''} behind."
    elif mark == "may be best":
        yield f" leads: {text}"
        yield from _ahead(others, first)
        yield f"; {_why_open(group)}."
    else:
        yield f" has the best mean, {text}"
        yield from _ahead(others, first)
        yield "; with fewer than three seeds nothing is certain."


def _ahead(others: Sequence[RankedCell], first: RankedCell) -> Iterator[Piece]:
    """Says how far the next variant above its floors is behind."""
    if not others:
        yield ", the only one above its floors"
        return
    second = min(others, key=lambda one: abs(one.score.mean - first.score.mean))
    difference = abs(second.score.mean - first.score.mean)
    yield f", {difference_words(first.cell.metric, difference)} ahead of "
    yield link(second)


def _why_open(group: Sequence[RankedCell]) -> str:
    if group[0].score.n and not group[0].above:
        return "not certain"  # The next sentence names the better mean.
    if any(not ranked.score.n for ranked in group):
        return "not certain, as another has no final yet"
    return "not certain, as another has too few seeds or nothing to measure luck by"


def _listed(rivals: Sequence[RankedCell]) -> Iterator[Piece]:
    """Names variants, and how far each is behind."""
    for place, ranked in enumerate(rivals):
        yield ", " if place else ""
        yield link(ranked)
        yield f" {difference_text(ranked.cell.metric, ranked.behind)}"


def _cheaper(first: RankedCell, group: list[RankedCell]) -> Iterator[Piece]:
    """Names the cheapest variant that is close to the best, unless it is the best itself."""
    cheapest = cheapest_close(group)
    if cheapest is None or cheapest is first:
        return
    score = score_text(cheapest.cell.metric, cheapest.score.mean)
    seconds = cost(first.cell, "seconds")
    yield " Cheaper: "
    yield link(cheapest)
    yield f", {score} in {duration_text(cost(cheapest.cell, 'seconds'))} per run"
    yield f", not {duration_text(seconds)}." if math.isfinite(seconds) else "."


def comparisons(groups: Sequence[list[RankedCell]]) -> list[Comparisons]:
    """Writes for each profile our means beside published figures.

    Args:
        groups: the rankings of each task, dataset and profile.
    """
    by_profile: dict[str, list[list[Piece]]] = {}
    for group in groups:
        found = [*_published(group)]
        if found:
            by_profile.setdefault(group[0].cell.profile, []).extend(found)
    return [
        Comparisons(
            note=""
            if profile in FULL_BUDGETS
            else one_line(f"not comparable, since profile {profile} trains less than papers do"),
            figures=figures,
        )
        for profile, figures in by_profile.items()
    ]


def _published(group: Sequence[RankedCell]) -> Iterator[list[Piece]]:
    """Writes each mean that has a published figure beside it, and the difference."""
    for ranked in (ranked for ranked in group if ranked.score.n):
        cell = ranked.cell
        figure = beside(cell, cell.metric)
        if figure is None:
            continue
        apart = math.isnan(gap(ranked.score.mean, cell, figure)) and cell.profile in FULL_BUDGETS
        theirs = published_text(cell.metric, figure.value)
        ours = score_text(cell.metric, ranked.score.mean)
        yield [
            link(ranked),
            f" on {one_line(cell.dataset)}: {ours} here, {theirs} published, "
            f"{gap_words(ranked, figure)}{', not comparable' if apart else ''}",
        ]
