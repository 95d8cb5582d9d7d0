"""Collects what the page shows of a cell: its places in the matrix, and its drawer."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence

from benchmarks.records.folders import METRICS, RECORD, RunFolder
from benchmarks.records.record import DataState, RunRecord
from reports.flags import data_states, test_set
from reports.formats import one_line, readable
from reports.page.page_format import CellData, Run
from reports.page.series import learning_curves, trial_rows
from reports.page.thumbnails import pictures
from reports.page.views import (
    cost,
    gap_words,
    interval_text,
    mark_text,
    number,
    percent,
    views,
)
from reports.published import beside, differences, gap
from reports.results import Cell, Results
from reports.score_texts import (
    difference_words,
    duration_text,
    factor,
    published_text,
    score_text,
    score_texts,
)
from reports.statistics.intervals import estimate, mean
from reports.statistics.ranking import (
    BELOW,
    NOT_COMPARED,
    RankedCell,
    scores_of_finals,
    seed_scores,
)
from reports.tables.cell_costs import training
from reports.tables.trial_lists import as_text

MARKS = {
    "best": "best: each other variant that was compared is worse by more than luck explains",
    "may be best": "may be best: the scores do not rule out that it is the best here",
    "worse": "worse than another variant, by more than luck explains",
    "too few seeds": "too few seeds to compare: three are needed",
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
        mark_text=mark_text(ranked),
        note=_note(cell),
        views=views(ranked, group),
        seeds=[(str(s), v) for s, v in scores_of_finals(cell).items() if math.isfinite(v)],
        mean=number(score.mean),
        interval=(score.low, score.high) if known else None,
        seconds=number(cost(cell, "seconds")),
        facts=[(name, one_line(text)) for name, text in _facts(ranked)],
        metrics=[(one_line(name), _metric(cell, name)) for name in _test_metrics(cell)],
        settings=[(one_line(k), one_line(as_text(v))) for k, v in sorted(settings.items())],
        runs=[_run(results, cell, *shown) for shown in _shown_runs(cell)],
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
        yield "by seed", "; ".join(_exact(cell.metric, value) for value in ranked.seeds.values)
        yield "tested on", _test_words(cell)
        yield "trained on", _training_words(cell)
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
    interval = f" (95 % interval {between}, of {ranked.score.of})" if " to " in between else ""
    return f"{percent(text, ranked.cell.metric)}{interval}, mean of {_seeds(ranked.score.n)}"


def _seeds(n: int) -> str:
    return f"{n} seed{'' if n == 1 else 's'}"


def _exact(metric: str, score: float) -> str:
    """Writes a single score with four digits."""
    return percent(readable(score * factor(metric)), metric)


def _mark_words(ranked: RankedCell) -> str:
    words, metric = MARKS.get(ranked.mark, ""), ranked.cell.metric
    if ranked.mark in BELOW:
        return _below_words(ranked)
    if ranked.mark == NOT_COMPARED.mark or math.isnan(ranked.at_most):
        return words
    behind = difference_words(metric, ranked.behind)
    place = f"{behind} behind the best mean" if ranked.behind else "its mean is the best"
    most = difference_words(metric, ranked.at_most)
    reach = f", and it is at most {most} behind the truly best" if ranked.at_most > 0 else ""
    return f"{words}; {place}{reach}"


def _below_words(ranked: RankedCell) -> str:
    """Says why a cell is not above its floors: its interval includes one, or its mean is worse."""
    metric, (name, floor) = ranked.cell.metric, ranked.floor
    if math.isnan(floor):
        return "not above its floors"
    named = f"{score_text(metric, floor)} ({one_line(name)})"
    text, between = interval_text(ranked)
    low, high = sorted((ranked.score.mean, floor))
    better = (ranked.score.mean == high) == (ranked.cell.direction == "maximize") and low < high
    if better and " to " in between:
        return f"not clearly better than its floors: the interval {between} includes {named}"
    return f"not clearly better than its floors: {percent(text, metric)}, the floor {named}"


def _training_words(cell: Cell) -> str:
    epochs, samples = training(cell)
    return f"{'unknown' if samples is None else f'{samples:,}'} samples, {_epochs(epochs or 0)}"


def _epochs(n: int) -> str:
    return f"{n:,} epoch{'' if n == 1 else 's'}"


def _test_words(cell: Cell) -> str:
    found = sorted({test_set(run.samples) for run in cell.scored if run.samples})
    tests = [text.replace("stratified", "classes in proportion") for text in found]
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
        yield "published", f"{value}; ours is {gap_words(ranked, figure)}, but not comparable"
    else:
        words = difference_words(cell.metric, abs(distance))
        yield "published", f"{value}; ours is {words} {'better' if distance >= 0 else 'worse'}"
    yield "what differs", "; ".join(differences(cell, figure))
    yield "source", figure.source


def _cost_words(cell: Cell) -> str:
    parameters, seconds = cost(cell, "parameters"), cost(cell, "seconds")
    bases = mean([s for run in cell.bases if math.isfinite(s := run.cost("seconds"))])
    parts = (
        f"{duration_text(seconds)} per run" if math.isfinite(seconds) else "",
        f"without its base, a run of {duration_text(bases)}" if math.isfinite(bases) else "",
        f"{round(parameters):,} parameters" if math.isfinite(parameters) else "",
    )
    return ", ".join(filter(None, parts)) or "unknown"


def _test_metrics(cell: Cell) -> list[str]:
    names = {name for run in cell.scored for name in run.metrics if name.startswith("test/")}
    return sorted(name.removeprefix("test/") for name in names)


def _metric(cell: Cell, name: str) -> str:
    score, low, high, n, _ = estimate(seed_scores(cell, name))
    text, start, end = score_texts(name, score, low, high)
    between = f"{start} to {end}, " if start else ""
    return f"{percent(text, name)} ({between}{_seeds(n)})"


def _shown_runs(cell: Cell) -> Iterator[tuple[RunRecord, str]]:
    """Yields the runs with a command, and what they are: finals, the best trial, their bases."""
    for place, run in enumerate(cell.finals, start=1):
        yield run, f"final {place} of {len(cell.finals)}"
    if cell.best:
        yield cell.best, "best trial"
    for run in cell.bases:
        yield run, f"base ({one_line(run.variant)})"


def _run(results: Results, cell: Cell, run: RunRecord, role: str) -> Run:
    folder = RunFolder(results.root, run.run_id).path
    split = "test" if run.role == "final" else "validation"
    score = run.metrics.get(f"{split}/{cell.metric}", math.nan)
    text: str = run.status
    if run.complete and math.isfinite(score):
        text = f"{split} {one_line(cell.metric)} {_exact(cell.metric, score)}"
    files = {
        "spec and record": RECORD,
        "metrics by epoch": METRICS,
        "W&B folder": "wandb/",
    }
    command = ["capsbench", "reproduce", run.run_id, "--results", results.root.resolve().name]
    return Run(
        id=run.run_id,
        role=role,
        seed=str(run.seed),
        text=f"{text}, {one_line(run.reason)}" if run.reason else text,
        links=[
            (name, f"../runs/{run.run_id}/{file}")
            for name, file in files.items()
            if (folder / file).exists()
        ],
        command=shlex.join(command),
    )
