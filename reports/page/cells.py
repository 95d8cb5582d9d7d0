"""Collects what the page shows of a cell: its places in the matrix, and its drawer."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence

from benchmarks.records.folders import RunFolder
from benchmarks.records.record import DataState, RunRecord
from reports.flags import data_states, test_set
from reports.formats import one_line, readable
from reports.intervals import estimate
from reports.page.page_format import CellData, Run
from reports.page.series import learning_curves, trial_rows
from reports.page.thumbnails import pictures
from reports.page.views import cost, interval_text, number, views
from reports.published import beside, differences, gap
from reports.ranking import BELOW, NOT_COMPARED, RankedCell, scores_of_finals, seed_scores
from reports.results import Cell, Results
from reports.score_texts import (
    difference_words,
    duration,
    factor,
    published_text,
    score_text,
    score_texts,
)
from reports.tables.trial_lists import as_text

MARKS = {
    "best": "best: each other variant that was compared is worse by more than luck explains",
    "may be best": "may be best: the scores do not rule out that it is the best here",
    "worse": "worse than another variant, by more than luck explains",
    "too few seeds": "too few seeds to compare: three are needed",
    "not above floors": "not above its floors: the score shows nothing that was learned",
    "floor": "not above its floors, and it does not learn by gradients",
}
"""What the marks mean, in words."""


def cell_data(results: Results, ranked: RankedCell, group: Sequence[RankedCell]) -> CellData:
    """Collects what the page shows of a cell.

    Args:
        results: the results, in whose folder the cell's files are.
        ranked: the cell.
        group: all cells of its task, dataset and profile.
    """
    cell, score = ranked.cell, ranked.score
    settings = cell.chosen.spec.hyperparameters if cell.chosen else {}
    known = math.isfinite(score.low) and math.isfinite(score.high)
    return CellData(
        study=cell.study,
        variant=one_line(cell.variant),
        dataset=one_line(cell.dataset),
        task=one_line(cell.task),
        profile=one_line(cell.profile),
        metric=one_line(cell.metric),
        factor=factor(cell.metric),
        mark=ranked.mark,
        note=_note(cell),
        views=views(ranked, group),
        seeds=[(str(s), v) for s, v in scores_of_finals(cell).items() if math.isfinite(v)],
        mean=number(score.mean),
        interval=(score.low, score.high) if known else None,
        seconds=number(cost(cell, "seconds")),
        facts=[(name, one_line(text)) for name, text in _facts(ranked)],
        metrics=[(one_line(name), _metric(cell, name)) for name in _test_metrics(cell)],
        settings=[(one_line(k), one_line(as_text(v))) for k, v in sorted(settings.items())],
        runs=[_run(results, cell, run) for run in _shown_runs(cell)],
        curves=learning_curves(results, cell),
        trials=trial_rows(cell),
        pictures=pictures(results, cell),
    )


def _note(cell: Cell) -> str:
    """Says what is missing, or that the data is a stand-in."""
    data = DataState.stand_in if cell.scored and DataState.stand_in in cell.states else ""
    return ", ".join(filter(None, (data, "" if cell.progress == "done" else cell.progress)))


def _facts(ranked: RankedCell) -> Iterator[tuple[str, str]]:
    """Yields names and sentences on a cell's score, in the order of reading."""
    cell = ranked.cell
    if cell.progress != "done":
        reason = f": {one_line(cell.ledger.reason)}" if cell.ledger.reason else ""
        yield "progress", f"{cell.progress}{reason}"
    if ranked.score.n:
        yield f"test {cell.metric}", _score_words(ranked)
        yield "mark", _mark_words(ranked)
        seeds = (score_text(cell.metric, value) for value in ranked.seeds.values)
        yield "by seed", "; ".join(seeds)
        yield "tested on", _test_words(cell)
        yield "floors", _floor_words(ranked)
        yield from _published(ranked)
        yield "cost", _cost_words(cell)
    trials = cell.ledger.states.finished
    yield (
        "search",
        f"{trials:,} finished trials on validation data"
        if trials
        else "none: the published recipe, but for what the profile sets",
    )


def _score_words(ranked: RankedCell) -> str:
    text, between = interval_text(ranked)
    unit = " %" if factor(ranked.cell.metric) == 100 else ""
    interval = f" (95 % interval {between}, of {ranked.score.of})" if " to " in between else ""
    return f"{text}{unit}{interval}, mean of {_seeds(ranked.score.n)}"


def _seeds(n: int) -> str:
    return f"{n} seed{'' if n == 1 else 's'}"


def _mark_words(ranked: RankedCell) -> str:
    words, metric = MARKS.get(ranked.mark, ""), ranked.cell.metric
    if ranked.mark in (*BELOW, NOT_COMPARED.mark) or math.isnan(ranked.at_most):
        return words
    behind = difference_words(metric, ranked.behind)
    most = difference_words(metric, ranked.at_most)
    place = f"{behind} behind the best mean" if ranked.behind else "its mean is the best"
    return f"{words}; {place}, and it is at most {most} behind the truly best"


def _test_words(cell: Cell) -> str:
    tests = sorted({test_set(run.samples) for run in cell.scored if run.samples})
    return f"{'; '.join(tests) or 'an unknown number of samples'}; data: {data_states(cell)}"


def _floor_words(ranked: RankedCell) -> str:
    floors = (f"{n} {score_text(ranked.cell.metric, v)}" for n, v in sorted(ranked.floors.items()))
    return ", ".join(floors) or "none in the records"


def _published(ranked: RankedCell) -> Iterator[tuple[str, str]]:
    """Says how far the published figure is, whether the two can be compared, and where it is from.

    Yields:
        Names and sentences.
    """
    cell = ranked.cell
    figure = beside(cell, cell.metric)
    if figure is None:
        yield "published", "no figure is known for this variant, dataset and metric"
        return
    distance = gap(ranked.score.mean, cell, figure)
    value = f"{published_text(cell.metric, figure.value)} ({figure.model})"
    if math.isnan(distance):
        yield "published", f"{value}; it can't be compared with ours"
    else:
        words = difference_words(cell.metric, abs(distance))
        yield "published", f"{value}; ours is {words} {'better' if distance >= 0 else 'worse'}"
    yield "what differs", "; ".join(differences(cell, figure))
    yield "source", figure.source


def _cost_words(cell: Cell) -> str:
    parameters, seconds = cost(cell, "parameters"), cost(cell, "seconds")
    parts = (
        f"{duration(seconds)} per run" if math.isfinite(seconds) else "",
        f"{round(parameters):,} parameters" if math.isfinite(parameters) else "",
    )
    return ", ".join(filter(None, parts)) or "unknown"


def _test_metrics(cell: Cell) -> list[str]:
    names = {name for run in cell.scored for name in run.metrics if name.startswith("test/")}
    return sorted(name.removeprefix("test/") for name in names)


def _metric(cell: Cell, name: str) -> str:
    score, low, high, n, _ = estimate(seed_scores(cell, name))
    text, start, end = score_texts(name, score, low, high)
    unit = " %" if text and factor(name) == 100 else ""
    between = f"{start} to {end}, " if start else ""
    return f"{text}{unit} ({between}{_seeds(n)})"


def _shown_runs(cell: Cell) -> tuple[RunRecord, ...]:
    """Lists the runs with a command: finals, the best trial, and their bases."""
    return (*cell.finals, *([cell.best] if cell.best else []), *cell.bases)


def _run(results: Results, cell: Cell, run: RunRecord) -> Run:
    folder = RunFolder(results.root, run.run_id).path
    split = "test" if run.role == "final" else "validation"
    score = run.metrics.get(f"{split}/{cell.metric}", math.nan)
    text: str = run.status
    if run.complete and math.isfinite(score):
        text = f"{split} {one_line(cell.metric)} {readable(score)}"
    files = {
        "spec and record": "record.json",
        "metrics by epoch": "metrics.jsonl",
        "W&B folder": "wandb/",
    }
    command = ["capsbench", "reproduce", run.run_id]
    roles = {"trial": "best trial", "base": f"base ({one_line(run.variant)})"}
    return Run(
        id=run.run_id,
        role=roles.get(run.role, run.role),
        seed=str(run.seed),
        text=f"{text}, {one_line(run.reason)}" if run.reason else text,
        links=[
            (name, f"../runs/{run.run_id}/{file}")
            for name, file in files.items()
            if (folder / file).exists()
        ],
        command=shlex.join([*command, "--results", str(results.root)]),
    )
