"""Writes the page's summary: who is best where, by how much, how sure, at what cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypedDict

from reports.flags import test_set
from reports.formats import one_line
from reports.page.table_data import drawer_address
from reports.page.views import cost, interval_text
from reports.published import FULL_BUDGETS, beside, gap
from reports.ranking import RankedCell
from reports.score_texts import (
    difference_text,
    difference_words,
    duration,
    is_rate,
    published_text,
    score_text,
)

CLOSE_RATE = 0.02
"""Two points of a hundred: a cheaper variant that is so close to the best is named."""
CLOSE_ERROR = 0.02
"""The same for errors, as a share of the best error."""

Piece = str | tuple[str, str]
"""A text, or a variant's name with the address of its drawer."""


class Sentence(TypedDict):
    dataset: str
    pieces: list[Piece]


class TaskSummary(TypedDict):
    """Holds the sentences of one task and profile."""

    name: str
    lead: list[Piece]
    datasets: list[Sentence]
    published: list[Piece]


def summaries(groups: Sequence[list[RankedCell]]) -> list[TaskSummary]:
    """Writes the sentences of each task and profile.

    Args:
        groups: the rankings of each task, dataset and profile.
    """
    found: dict[tuple[str, str], list[list[RankedCell]]] = {}
    for group in groups:
        found.setdefault((group[0].cell.task, group[0].cell.profile), []).append(group)
    return [
        TaskSummary(
            name=one_line(f"{task.capitalize()}, profile {profile}"),
            lead=[*_lead(members)],
            datasets=[
                Sentence(dataset=one_line(group[0].cell.dataset), pieces=[*_dataset(group)])
                for group in members
            ],
            published=[*_published(members, profile)],
        )
        for (task, profile), members in found.items()
    ]


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


def _lead(groups: Sequence[list[RankedCell]]) -> Iterator[Piece]:
    """Says which variant has the best mean most often, and how often that is certain."""
    scored = [group for group in groups if any(ranked.score.n for ranked in group)]
    winners = [ranked for group in scored if (ranked := winner(group))]
    if not winners:
        yield "No variant is above its floors yet."
        return
    counts = Counter(one_line(ranked.cell.variant) for ranked in winners)
    of = f"of {len(scored)} dataset{'' if len(scored) == 1 else 's'}"
    certain = [ranked for ranked in winners if ranked.mark == "best"]
    names = (f"{variant} on {n}" for variant, n in counts.most_common())
    yield f"The best mean {of}: {', '.join(names)}. "
    if certain:
        named = ", ".join(
            one_line(f"{ranked.cell.variant} on {ranked.cell.dataset}") for ranked in certain
        )
        yield f"Certain: {named}. " + (
            "" if len(certain) == len(scored) else "Elsewhere it is open."
        )
    else:
        yield "On none is that certain."


def _dataset(group: list[RankedCell]) -> Iterator[Piece]:
    first = winner(group)
    if first is None:
        yield from _no_winner(group)
        return
    yield link(first)
    yield from _how_sure(first, group)
    yield from _cost(first, group)
    yield f" Tested on {_tested(first)}."


def _no_winner(group: list[RankedCell]) -> Iterator[Piece]:
    best = next((ranked for ranked in group if ranked.score.n), None)
    if best is None:
        yield "no final yet."
        return
    metric = best.cell.metric
    name, value = best.floor
    yield "no variant is above its floors: the best mean, "
    yield f"{score_text(metric, best.score.mean)} of "
    yield link(best)
    yield f", beside {score_text(metric, value)} of {one_line(name)}."


def _how_sure(first: RankedCell, group: list[RankedCell]) -> Iterator[Piece]:
    metric, mark = first.cell.metric, first.mark
    text, between = interval_text(first)
    text += " %" if is_rate(metric) else ""
    text += f" (95 %: {between})" if " to " in between else ""
    others = [one for one in group if one.above and one.score.n and one is not first]
    rivals = [one for one in others if one.mark == "may be best"]
    if mark == "best":
        yield f" is best with {text}"
        yield from _ahead(others, first)
        yield "."
    elif mark == "may be best" and rivals:
        yield f" leads with {text}, but "
        yield from _listed(rivals)
        yield f" may be best too, {_behind(rivals)} behind."
    elif mark == "may be best":
        yield f" leads with {text}"
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
        return "not certain, as a better mean is not above its floors"
    if any(not ranked.score.n for ranked in group):
        return "not certain, as another has no final yet"
    return "not certain, as another has too few seeds or nothing to measure luck by"


def _listed(rivals: Sequence[RankedCell]) -> Iterator[Piece]:
    for place, ranked in enumerate(rivals):
        if place:
            yield " and " if place == len(rivals) - 1 else ", "
        yield link(ranked)


def _behind(rivals: Sequence[RankedCell]) -> str:
    metric = rivals[0].cell.metric
    texts = [difference_text(metric, ranked.behind) for ranked in (rivals[0], rivals[-1])]
    unit = " points" if is_rate(metric) else ""
    return f"{' to '.join(dict.fromkeys(texts))}{unit}"


def _cost(first: RankedCell, group: list[RankedCell]) -> Iterator[Piece]:
    seconds = cost(first.cell, "seconds")
    if math.isnan(seconds):
        return
    close = "two points" if is_rate(first.cell.metric) else "2 %"
    cheapest = cheapest_close(group)
    yield f" It takes {duration(seconds)} per run"
    if cheapest is None or cheapest is first:
        yield f"; none within {close} of it is cheaper."
        return
    yield f"; cheapest within {close}: "
    yield link(cheapest)
    score = score_text(cheapest.cell.metric, cheapest.score.mean)
    yield f", {score} in {duration(cost(cheapest.cell, 'seconds'))}."


def _tested(first: RankedCell) -> str:
    tests = sorted({test_set(run.samples) for run in first.cell.scored if run.samples})
    seeds = f"{first.score.n} seed{'' if first.score.n == 1 else 's'}"
    return f"{' or '.join(tests) or 'an unknown number of samples'}, {seeds}"


def _published(groups: Sequence[list[RankedCell]], profile: str) -> Iterator[Piece]:
    """Writes our means beside published figures, and whether they can be compared."""
    found = [
        (ranked, figure)
        for group in groups
        for ranked in group
        if ranked.score.n and (figure := beside(ranked.cell, ranked.cell.metric))
    ]
    if not found:
        return
    yield "Beside the papers: "
    for place, (ranked, figure) in enumerate(found):
        metric = ranked.cell.metric
        distance = gap(ranked.score.mean, ranked.cell, figure)
        yield "; " if place else ""
        yield link(ranked)
        yield f" on {one_line(ranked.cell.dataset)} {score_text(metric, ranked.score.mean)} here, "
        yield f"{published_text(metric, figure.value)} published"
        if math.isfinite(distance):
            way = "better" if distance >= 0 else "worse"
            yield f" ({difference_words(metric, abs(distance))} {way})"
        elif profile in FULL_BUDGETS:
            yield " (not comparable)"
    if profile not in FULL_BUDGETS:
        yield ". None of these can be compared: "
        yield f"profile {one_line(profile)} trains less than papers do"
    yield ". A click on a name says what differs."
