"""Every table of the report: what it says of `Results`, row by row.

A table is a DataFrame in a fixed order, made from records alone. Only `costs` holds what a clock
measured; all others are byte-identical between equal sweeps.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from benchmarks.records.record import DataInfo, DataState, RunRecord, SampleCounts
from reports.aggregates import Across, across
from reports.floor_tables import FLOORS_NOTE, floors
from reports.floors import PREFIX, UNTRAINED, Floor, trivial_answers
from reports.formats import SCORE_COLUMNS, frame, readable
from reports.intervals import ENOUGH_SEEDS, Estimate, SeedScores, estimate, mean
from reports.order import by_dataset, by_task
from reports.pareto import PARETO_NOTE, pareto
from reports.published import beside, differences, gap
from reports.published import published as all_published
from reports.records import Cell, Results
from reports.searches import search_sentences, telling_importance
from reports.standings import Standing, place, rank, scores, seed_scores, standings

FEW = 5
"""Below so many seeds, tables say in words that they are few."""

SCORES = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    **SCORE_COLUMNS,
    "by_seed": "str",
    "data": "str",
    "profile": "str",
}

LEADERBOARD = SCORES | {
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
- **direction** tells whether a higher (maximize) or a lower (minimize) mean is better.
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
  **behind_at_most**: so far behind the truly best one it is at most, for all rows of a dataset at
  once in 95 of 100 tables.
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
    rows = (row for group in standings(results) for row in _board(group, mixed))
    return frame(LEADERBOARD, rows)


METRICS = {**SCORES, "note": "str"}

METRICS_NOTE = (
    SCORES_NOTE
    + """\
- **note** says why a cell has no figure of a metric: *n/a*, it has no meaning there.
"""
)


def metrics(results: Results) -> pd.DataFrame:
    """Builds one row per cell and test metric: the leaderboard's first columns, and `note`.

    Metrics that have no meaning in a cell keep their row, without a figure, with the reason.
    """
    rows = (
        (
            *_score(cell, seeds, estimate(seeds), cell.ledger.directions.get(seeds.metric, "")),
            _absence(cell, seeds.metric),
        )
        for cell in results.cells
        for seeds in (seed_scores(cell, metric) for metric in _test_metrics(cell))
    )
    return frame(METRICS, sorted(rows, key=_best_first))


RANKS = {
    "task": "str",
    "profile": "str",
    "variant": "str",
    "datasets": "int64",
    "of": "int64",
    "skill": "float64",
    "skill_low": "float64",
    "skill_high": "float64",
    "skill_of": "str",
    "mean_rank": "float64",
    "critical_difference": "float64",
    "friedman_p": "float64",
    "note": "str",
}

RANKS_NOTE = """\
- **datasets** that the variant has finals on, **of** those that any has. Datasets of the
  same data count as one.
- **skill** is how much of the best trivial answer's error the variant takes away, the mean over its
  datasets: 0 is no better than that answer, 1 without any error, below 0 is worse. It does not
  depend on which other variants are here. **skill_low** and **skill_high** bound its 95 % interval,
  of what **skill_of** says, on these datasets.
- **mean_rank** is over datasets, 1 the best, among the variants here that cover all.
- **critical_difference** is Nemenyi's: mean ranks that lie nearer to each other are not told apart
  at the 5 % level. **friedman_p**: how often variants that are all alike would have ranks as
  unequal as these. **note** says what the test can tell at all.
"""


def ranks(results: Results) -> pd.DataFrame:
    """A row a task, profile and variant: how it stands across datasets."""
    rows = []
    for a in across(results):
        same = [f"{double} has the data of {first}" for double, first in a.doubles.items()]
        for variant in sorted(a.covered, key=lambda v: _by_skill(a, v)):
            mean, low, high, _, of = a.skills[variant]
            note = power(a) if variant in a.ranks.mean else "does not cover all datasets"
            rows.append(
                (
                    *(a.task, a.profile, variant, a.covered[variant], len(a.datasets)),
                    *(mean, low, high, of, a.ranks.mean.get(variant, math.nan)),
                    *(a.ranks.critical_difference, a.ranks.p, "; ".join([note, *same])),
                )
            )
    return frame(RANKS, rows)


def _by_skill(a: Across, variant: str) -> tuple[Any, ...]:
    return -a.covered[variant], rank(a.skills[variant].mean, "maximize"), variant


def power(a: Across) -> str:
    """What the rank test can tell at all, in words."""
    k, n = len(a.ranks.mean), a.ranks.datasets
    if k < 2:
        return "fewer than two variants cover all datasets: nothing to rank"
    difference, widest = a.ranks.critical_difference, a.ranks.widest
    told = f"{k} variants, {n} datasets: mean ranks must differ by {difference:.2f}"
    told += f" of {widest:.0f} possible"
    return told if a.ranks.can_tell else f"{told}: nothing could be told"


PUBLISHED = {
    "task": "str",
    "dataset": "str",
    "metric": "str",
    "model": "str",
    "value": "float64",
    "spread": "float64",
    "n": "Int64",
    "variant": "str",
    "profile": "str",
    "ours": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "seeds": "Int64",
    "gap": "float64",
    "selection": "str",
    "differs": "str",
    "source": "str",
}

PUBLISHED_NOTE = """\
- **value** is as published, in our unit (an error of 0.25 % is an accuracy of 0.9975), with its
  **spread** (standard deviation) over **n** runs where told.
- **ours** is the mean of the variant of that row, with its interval; **gap** is how much better (+)
  or worse (-) it is. Rows without a variant are models that are not in the matrix.
- **selection** says on what data the published model or epoch was chosen. Ours is chosen on
  validation data, and scored once on test data. **differs** says what else differs: where it says
  *not comparable*, there is no gap.
"""


def published(results: Results) -> pd.DataFrame:
    """A row a published figure and profile, beside ours, for the datasets of these results."""
    return frame(PUBLISHED, _published_rows(results))


def _published_rows(results: Results) -> Iterator[tuple[Any, ...]]:
    places = {(c.task, c.dataset) for c in results.cells}
    for p in sorted(all_published(), key=lambda p: (by_task(p.task), by_dataset(p.dataset))):
        if (p.task, p.dataset) not in places:
            continue
        figure = (p.task, p.dataset, p.metric, p.model, p.value, p.spread, p.n)
        cells = [c for c in results.cells if scores(c, p.metric) and beside(c, p.metric) == p]
        for cell in cells:
            mean, low, high, n, _ = estimate(seed_scores(cell, p.metric))
            ours = (cell.variant, cell.profile, mean, low, high, n, gap(mean, cell, p))
            differs = "; ".join(differences(cell, p))
            yield (*figure, *ours, p.selection, differs, p.source)
        if not cells:
            nothing = (p.variant or "", "", *[math.nan] * 3, None, math.nan)
            yield (*figure, *nothing, p.selection, p.protocol, p.source)


def runs(results: Results) -> pd.DataFrame:
    """A row a finished run of a cell.

    A seed is a name here: it may have more bits than a number column.
    """
    columns = ("run_id", "role", "variant", "dataset", "seed", "status", "reason", "digest")
    rows = (
        (r.run_id, r.role, r.variant, r.dataset, str(r.seed), r.status, r.reason or "", r.digest)
        for r in sorted(results.runs, key=_by_place)
    )
    return frame(dict.fromkeys(columns, "str"), rows)


def best_params(results: Results) -> pd.DataFrame:
    """Builds one row per cell and hyper-parameter of its best trial, or of its finals without one.

    A value that is not a text is written as JSON.
    """
    columns = ("study", "variant", "dataset", "profile", "parameter", "value")
    rows = (
        (cell.study, cell.variant, cell.dataset, cell.profile, parameter, as_text(value))
        for cell in results.cells
        if cell.chosen
        for parameter, value in sorted(cell.chosen.spec.hyperparameters.items())
    )
    return frame(dict.fromkeys(columns, "str"), rows)


def failures(results: Results) -> pd.DataFrame:
    """A row a failed run, then one a cell that could have no final, with the reasons."""
    columns = ("run_id", "role", "variant", "dataset", "status", "reason")
    rows: list[tuple[str | None, ...]] = [
        (r.run_id, r.role, r.variant, r.dataset, r.status, r.reason or "")
        for r in sorted(results.runs, key=_by_place)
        if r.status == "failed"
    ]
    rows += [
        ("", "cell", cell.variant, cell.dataset, "no final", cell.ledger.reason)
        for cell in results.cells
        if cell.ledger.reason and not cell.scored
    ]
    return frame(dict.fromkeys(columns, "str"), rows)


DATA = {
    "dataset": "str",
    "state": "str",
    "samples": "str",
    "train": "Int64",
    "validation": "Int64",
    "test": "Int64",
    "test_of": "Int64",
    "test_selection": "str",
    "runs": "int64",
    "sha256": "str",
}

DATA_NOTE = """\
- **samples** is what the dataset has. **train**, **validation** and **test** are how many samples
  each of the **runs** used; they are empty where the records do not have them.
- **test_selection** says how the test samples were chosen from **test_of**: *all*; *stratified*, a
  seeded subset with the classes in proportion; *random*, a seeded subset; *generated* with a fixed
  seed. Finals score them, trials do not.
"""


def data(results: Results) -> pd.DataFrame:
    """Builds one row per dataset state and number of samples used, and counts the runs of each."""
    seen = Counter((*_data(r.data), r.samples) for r in results.runs if r.data and r.samples)
    rows = [_seen(*key, n) for key, n in seen.items()]
    rows.sort(key=lambda row: (by_dataset(row[0]), *("" if x is None else f"{x:>20}" for x in row)))
    return frame(DATA, rows)


def _data(data: DataInfo) -> tuple[str, str, str, str]:
    """Returns the dataset, state, samples and hash of data, wherever it lay."""
    return data.dataset, data.state, data.samples, data.sha256


def _seen(
    dataset: str, state: str, samples: str, sha256: str, used: SampleCounts, runs: int
) -> tuple[Any, ...]:
    counts = (used.train, used.validation, used.test, used.test_of, used.test_selection)
    return (dataset, state, samples, *counts, runs, sha256)


COSTS = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    "profile": "str",
    "trials": "int64",
    "pruned": "int64",
    "saved_epochs": "int64",
    "failed": "int64",
    "retries": "int64",
    "finals": "int64",
    "parameters": "Int64",
    "flops_per_sample": "Int64",
    "seconds": "float64",
    "train_seconds": "float64",
    "samples_per_second": "float64",
    "peak_memory_bytes": "Int64",
    "total_seconds": "float64",
}

COSTS_NOTE = """\
- **trials** finished, of which **pruned**, which saved so many epochs, and **failed**; **retries**
  of runs whose worker died; **finals** completed.
- **parameters** to **peak_memory_bytes** are of a completed final: means over finals, but the
  highest peak of memory, and that on a GPU only: on a CPU it is that of a process that trains one
  variant after another. **seconds** is a whole run, **train_seconds** its training alone.
- **total_seconds** sums all trials and finals of the cell, and the runs that they rest on.
"""


def costs(results: Results) -> pd.DataFrame:
    """A row a cell: what its runs cost. The only table that clocks and crashes show in."""
    return frame(COSTS, map(_cost, results.cells))


def importance(results: Results) -> pd.DataFrame:
    """A row a cell and searched hyper-parameter, the weightiest first."""
    columns = dict.fromkeys(("study", "variant", "dataset", "profile", "parameter"), "str")
    rows = (
        (
            cell.study,
            cell.variant,
            cell.dataset,
            cell.profile,
            name,
            share,
            cell.ledger.states.finished,
        )
        for cell in results.cells
        for name, share in sorted(
            telling_importance(cell).items(), key=lambda item: (-item[1], item[0])
        )
    )
    return frame(columns | {"importance": "float64", "trials": "int64"}, rows)


IMPORTANCE_NOTE = """\
- **importance** is the share of the trials' spread that a searched hyper-parameter explains, by
  Optuna's PED-ANOVA; the shares of a cell sum to 1. Cells of fewer than twenty **trials** are left
  out: so few tell nothing of it.
"""


def provenance(results: Results) -> pd.DataFrame:
    """A row each fact of code, libraries and machine: its value, and of how many runs."""
    facts = Counter(fact for run in results.runs for fact in _facts(run))
    columns = {"fact": "str", "value": "str", "runs": "int64"}
    return frame(columns, ((*fact, n) for fact, n in sorted(facts.items())))


def _facts(run: RunRecord) -> list[tuple[str, str]]:
    """Lists the names and values of what a record knows of code, libraries and machine."""
    known = run.provenance.model_dump(exclude={"versions", "data"}) | run.provenance.versions
    known["device"] = run.spec.device
    return [(name, value) for name, value in known.items() if value is not None]


TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    table.__name__: table
    for table in (
        leaderboard,
        floors,
        metrics,
        ranks,
        published,
        runs,
        best_params,
        pareto,
        importance,
        failures,
        data,
        provenance,
        costs,
    )
}
NOTES = {
    "leaderboard": LEADERBOARD_NOTE,
    "floors": FLOORS_NOTE,
    "metrics": METRICS_NOTE,
    "ranks": RANKS_NOTE,
    "published": PUBLISHED_NOTE,
    "importance": IMPORTANCE_NOTE,
    "pareto": PARETO_NOTE,
    "costs": COSTS_NOTE,
    "data": DATA_NOTE,
}


def make(results: Results, names: Iterable[str] = TABLES) -> dict[str, pd.DataFrame]:
    """The tables of these names."""
    return {name: TABLES[name](results) for name in names}


def data_states(cell: Cell) -> str:
    """The states of the data behind a cell's figures; the cell's own while it has none."""
    return (
        " + ".join(sorted({run.data.state for run in cell.scored if run.data})) or cell.ledger.data
    )


def mixtures(results: Results) -> dict[tuple[str, str, str], list[str]]:
    """What differs between the finals of one task, dataset and profile that should not."""
    kept: dict[tuple[str, str, str], list[RunRecord]] = {}
    for cell in results.cells:
        kept.setdefault(place(cell), []).extend(cell.scored)
    found = {}
    for where, finals in kept.items():
        differs: dict[str, set[str]] = {
            "code versions": {r.provenance.code_version for r in finals},
            "states of data": {r.data.sha256 for r in finals if r.data},
            "devices": {r.spec.device for r in finals},
            "sets of test samples": {test_set(r.samples) for r in finals if r.samples},
        }
        told = [f"{len(v)} {name} are mixed here" for name, v in differs.items() if len(v) > 1]
        if told:
            found[where] = told
    return found


def flags(results: Results) -> list[str]:
    """Lists sentences on what a reader must know of all tables.

    They say what is mixed in a table that should not be, how hyper-parameters were chosen, and
    which figures are unfinished, of stand-in data, or of few seeds.
    """
    sentences = [
        f"{task} on {dataset} (profile {profile}): {what}."
        for (task, dataset, profile), whats in mixtures(results).items()
        for what in whats
    ]
    sentences += search_sentences(results)
    if len(found := sorted({cell.profile for cell in results.cells})) > 1:
        sentences.append(f"Profiles {', '.join(found)} are in these tables: compare within one.")
    if unfinished := [cell for cell in results.cells if cell.progress not in ("done", "failed")]:
        sentences.append(f"{len(unfinished)} of {len(results.cells)} cells are not finished.")
    standin = dict.fromkeys(c.dataset for c in results.cells if DataState.stand_in in c.states)
    if standin:
        sentences.append(f"Stand-in data, whose figures say nothing of it: {', '.join(standin)}.")
    few = {len(cell.scored) for cell in results.cells if cell.scored}
    if few and min(few) < FEW:
        sentences.append(
            f"Some means are over {min(few)} seeds: that few tell large differences only."
            if min(few) >= ENOUGH_SEEDS
            else f"Some means are over {min(few)} seed{'s' if min(few) > 1 else ''}: that is too "
            "few for an interval and for a comparison, which need three."
        )
    return sentences


def test_set(samples: SampleCounts) -> str:
    """Says how many test samples scored a run, and how they were chosen.

    Args:
        samples: the sample counts of the run's record.

    Returns:
        Words such as `2,000 of 10,000 test samples, stratified`.
    """
    if samples.test_selection == "all":
        return f"all {samples.test:,} test samples"
    whole = f" of {samples.test_of:,}" if samples.test_of > samples.test else ""
    return f"{samples.test:,}{whole} test samples, {samples.test_selection}"


def _board(
    group: list[Standing], mixed: dict[tuple[str, str, str], list[str]]
) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of one task, dataset and profile: of its variants, then of its floors."""
    for standing in group:
        yield _standing(standing, mixed)
    for floor in shown_floors(group):
        yield _floor_row(floor, group, mixed)


def shown_floors(group: list[Standing]) -> list[Floor]:
    """Lists the trivial answers that have a row below the variants, by the primary metric.

    Args:
        group: the standings of one task, dataset and profile.

    Returns:
        The floors, best first; those of equal score by name.
    """
    cells = [standing.cell for standing in group]
    first = cells[0]
    found = [floor for floor in trivial_answers(cells) if floor.metric == first.metric]
    return sorted(found, key=lambda floor: (rank(floor.value, first.direction), floor.name))


def floor_name(floor: Floor) -> str:
    """Returns the name of a floor's row in tables of variants, such as `floor: last frame`.

    The variant's name follows in brackets where the floor is of one variant alone.
    """
    return f"{PREFIX}{floor.name} ({floor.variant})" if floor.variant else PREFIX + floor.name


def _floor_row(
    floor: Floor, group: list[Standing], mixed: dict[tuple[str, str, str], list[str]]
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
        *(None, _test_samples(runs), "", "; ".join(mixed.get(place(cell), []))),
    )


def _test_samples(runs: Iterable[RunRecord]) -> int | None:
    """Returns the size of the test set that scored these runs; None if unknown or not the same."""
    sizes = {run.samples.test for run in runs if run.samples}
    return sizes.pop() if len(sizes) == 1 else None


def _standing(standing: Standing, mixed: dict[tuple[str, str, str], list[str]]) -> tuple[Any, ...]:
    cell = standing.cell
    name, floor = standing.floor
    figure = beside(cell, cell.metric)
    value, distance, notes = math.nan, math.nan, list(mixed.get(place(cell), []))
    if figure and cell.scored:
        value, distance = figure.value, gap(standing.score.mean, cell, figure)
        notes.append(f"published: {'; '.join(differences(cell, figure))}")
    return (
        *_score(cell, standing.seeds, standing.score, cell.direction),
        *("variant", standing.mark, floor, name, standing.floors.get(UNTRAINED, math.nan)),
        standing.behind,
        standing.at_most,
        value,
        distance,
        cell.ledger.states.finished,
        _test_samples(cell.scored),
        cell.progress,
        "; ".join(notes),
    )


def _score(cell: Cell, seeds: SeedScores, score: Estimate, direction: str) -> tuple[Any, ...]:
    where = (cell.task, cell.dataset, cell.variant, seeds.metric, direction)
    return (*where, *score, by_seed(seeds), data_states(cell), cell.profile)


def by_seed(seeds: SeedScores) -> str:
    """Lists the score of each seed, such as `0.9725, 0.9780`."""
    return ", ".join(map(readable, seeds.values))


def _best_first(row: Sequence[Any]) -> tuple[Any, ...]:
    task, dataset, variant, metric, direction, mean, *_, profile, _ = row
    where = by_task(task), by_dataset(dataset), profile
    return (*where, metric, rank(mean, direction), variant)


def _test_metrics(cell: Cell) -> list[str]:
    names = {name for run in cell.scored for name in run.metrics if name.startswith("test/")}
    absent = {name for run in cell.scored for name in run.absent}
    return sorted({name.removeprefix("test/") for name in names} | absent)


def _absence(cell: Cell, metric: str) -> str:
    reasons = {run.absent[metric] for run in cell.scored if metric in run.absent}
    return f"n/a: {'; '.join(sorted(reasons))}" if reasons else ""


def _by_place(run: RunRecord) -> tuple[Any, ...]:
    role = ("base", "trial", "final").index(run.role)
    return (by_dataset(run.dataset), run.variant, role, run.seed, run.run_id)


def as_text(value: Any) -> str:
    """A hyper-parameter's value; JSON, but a text is itself."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _cost(cell: Cell) -> tuple[Any, ...]:
    statuses = [trial.status for trial in cell.trials]

    def average(name: str) -> float:
        return mean(_known(cell.scored, name))

    on_gpu = [run for run in cell.scored if run.spec.device == "cuda"]
    peak = max(_known(on_gpu, "peak_memory_bytes"), default=math.nan)
    return (
        cell.task,
        cell.dataset,
        cell.variant,
        cell.profile,
        len(statuses),
        statuses.count("pruned"),
        cell.ledger.epochs.saved,
        statuses.count("failed"),
        cell.ledger.retries,
        len(cell.scored),
        _whole(average("parameters")),
        _whole(average("flops_per_sample")),
        average("seconds"),
        average("train_seconds"),
        average("samples_per_second"),
        _whole(peak),
        math.fsum(_known((*cell.bases, *cell.trials, *cell.finals), "seconds")),
    )


def _known(runs: Iterable[RunRecord], name: str) -> list[float]:
    """The finite figures that these runs have of a cost."""
    return [cost for run in runs if math.isfinite(cost := run.cost(name))]


def _whole(number: float) -> int | None:
    return round(number) if math.isfinite(number) else None
