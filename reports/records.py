"""Reading a results folder: cells and runs, from the files that a sweep leaves."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from reports.order import by_dataset, by_task

T = TypeVar("T")
RUN_ID = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""Names a folder within `runs/`, never one elsewhere."""
SELECTIONS = ("all", "stratified", "random", "generated")
"""The ways in which test samples are chosen from the test samples that there are."""
LARGEST_COUNT = 2**63 - 1
"""Tables hold counts as 64-bit integers."""


class ReportError(Exception):
    """Results that cannot be read, told in one sentence that names the file and the reason."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data a run saw."""

    dataset: str
    state: str
    samples: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Counts the samples that a run trained, validated and tested on."""

    train: int
    validation: int
    test: int
    test_of: int
    """How many test samples the data has."""
    test_selection: str
    """How `test` samples were chosen from `test_of`: one of `SELECTIONS`."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training with its evaluation, as its record tells it."""

    run_id: str
    role: str
    variant: str
    dataset: str
    seed: int
    device: str
    hyperparameters: Mapping[str, Any]
    status: str
    reason: str
    epochs: int
    digest: str
    metrics: Mapping[str, float]
    """By name with split, such as `test/accuracy`; NaN where the record has null."""
    absent: Mapping[str, str]
    """Metrics that have no meaning for the run, each with the reason."""
    costs: Mapping[str, float]
    provenance: Mapping[str, str]
    """Code version, commit, lock, libraries and machine, as far as the record tells them."""
    data: Data | None
    """None where a run failed before it had data."""
    samples: Samples | None
    """None where a run failed before it had data, and in records of older versions."""
    floors: Mapping[str, Mapping[str, float]]
    """A final's test metrics of trivial answers and of the untrained network, by the floor's name
    and the metric's; empty for other runs, and in records of older versions."""
    stamp: str
    """Changes with the record's file."""

    @property
    def complete(self) -> bool:
        return self.status == "complete"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One variant on one dataset under one profile, with those of its runs that have finished.

    Its file, `cells/<study>.json`, is the ledger of which runs count.
    """

    study: str
    variant: str
    dataset: str
    task: str
    profile: str
    metric: str
    directions: Mapping[str, str]
    """`maximize` or `minimize` for each metric."""
    reason: str
    data: str
    """The state of the data when the cell was last written."""
    planned: Mapping[str, int]
    """How many `trials` and `finals` there shall be."""
    importance: Mapping[str, float]
    """How much of the trials' spread each searched hyper-parameter explains, by Optuna."""
    bases: tuple[Run, ...]
    """Runs of another variant whose trained models this cell's runs rest on."""
    trials: tuple[Run, ...]
    finals: tuple[Run, ...]
    best: Run | None
    cost: str
    """The second objective of its study, such as `parameters`; empty where there is none."""
    saved_epochs: int
    """Epochs that pruned trials did not have."""
    retries: int
    """How often a run was begun again, as its worker had died."""
    finished_trials: int
    """How many trials of its study have finished; 0 where its profile has no search."""

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts cells as all tables have them: by task, dataset, profile, variant."""
        where = by_task(self.task), by_dataset(self.dataset), self.profile
        return (*where, self.variant, self.study)

    @property
    def direction(self) -> str:
        """Which way the primary metric is better."""
        return self.directions[self.metric]

    @property
    def scored(self) -> tuple[Run, ...]:
        """The finals that completed: what every figure of this cell is made from."""
        return tuple(run for run in self.finals if run.complete)

    @property
    def chosen(self) -> Run | None:
        """Returns a run with the hyper-parameters of the cell's finals: the best trial, or a final
        if there was no search; None if neither has finished."""
        return self.best or next(iter(self.finals), None)

    @property
    def progress(self) -> str:
        """What is there so far; `done` where nothing remains to do."""
        trials, finals = self.planned.get("trials", 0), self.planned.get("finals", 0)
        if self.reason and not self.scored:
            return "failed"
        if self.finished_trials < trials:
            return f"{self.finished_trials} of {trials} trials"
        if len(self.finals) < finals:
            return f"{len(self.finals)} of {finals} finals"
        return "done"


@dataclass(frozen=True)
class Results:
    """All cells of a results folder, in their order."""

    root: Path
    cells: tuple[Cell, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """The finished runs that cells name, each once."""
        runs = (run for c in self.cells for run in (*c.bases, *c.trials, *c.finals))
        return tuple({run.run_id: run for run in runs}.values())


def load(root: Path, known: Mapping[str, Run] | None = None) -> Results:
    """Reads the folder as it is now.

    A run counts where a cell names it, and has finished where it has a record. What else lies in
    `runs/` is no part of the sweep: runs made by hand, finals of a trial that is no longer best.
    Of `known` runs (by run id, from an index) only those whose record has changed are read again.
    """
    paths = sorted((root / "cells").glob("*.json"))
    if not paths:
        raise ReportError(f"{root}: no results here yet; a sweep makes them (python -m sweeps run)")
    read = partial(_finished, runs=root / "runs", known=dict(known or {}))
    cells = (_cell(_Document(path), read) for path in paths)
    return Results(root, tuple(sorted(cells, key=lambda cell: cell.order)))


class _Document:
    """A JSON object and the file it is from; each reading says what it expects."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        try:
            self.content = json.loads(_text(path) if text is None else text)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{path}: torn or not JSON ({error})") from error

    def need(self, name: str, kind: type[T]) -> T:
        """The value at a dotted name."""
        value = self.may(name, kind)
        if value is None:
            raise self.wrong(f"lacks '{name}'")
        return value

    def may(self, name: str, kind: type[T]) -> T | None:
        """The value at a dotted name, or None where it, or an object on the way, is not there."""
        value = self.content
        walked: list[str] = []
        for key in name.split("."):
            if not isinstance(value, dict):
                raise self.wrong(f"'{'.'.join(walked) or 'the file'}' is not an object")
            walked.append(key)
            value = value.get(key)
            if value is None:
                return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(f"'{name}' is not of type {kind.__name__}")
        return value

    def need_one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """The text at a dotted name, which must be one of `choices`."""
        value = self.need(name, str)
        if value not in choices:
            raise self.wrong(f"'{name}' is none of {', '.join(choices)}")
        return value

    def wrong(self, why: str) -> ReportError:
        return ReportError(f"{self.path}: not of the expected shape: {why}")


def _finished(run_id: str, *, runs: Path, known: dict[str, Run]) -> Run | None:
    path = runs / run_id / "record.json"
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportError(f"{path}: cannot be read ({error.strerror})") from error
    stamp = f"{found.st_mtime_ns}-{found.st_size}"
    if run_id not in known or known[run_id].stamp != stamp:
        known[run_id] = _run(_Document(path), stamp)
    return known[run_id]


def _run(record: _Document, stamp: str) -> Run:
    run = Run(
        run_id=record.need("run_id", str),
        role=record.need_one_of("spec.role", ("base", "trial", "final")),
        variant=record.need("spec.variant", str),
        dataset=record.need("spec.dataset", str),
        seed=record.need("spec.seed", int),
        device=record.may("spec.device", str) or "",
        hyperparameters=record.need("spec.hyperparameters", dict),
        status=record.need_one_of("status", ("complete", "pruned", "failed")),
        reason=record.may("reason", str) or "",
        epochs=_count(record, "epochs"),
        digest=record.may("digest", str) or "",
        metrics=_numbers(record, "metrics"),
        absent=_texts(record, "absent"),
        costs=_numbers(record, "costs"),
        provenance=_provenance(record),
        data=_data(record),
        samples=_samples(record),
        floors=_floors(record),
        stamp=stamp,
    )
    if run.run_id != record.path.parent.name:
        raise record.wrong("'run_id' is not the name of its folder")
    primary = f"test/{record.need('metric', str)}"
    if run.role == "final" and run.complete and primary not in run.metrics:
        raise record.wrong(f"a completed final lacks '{primary}'")
    return run


def _provenance(record: _Document) -> dict[str, str]:
    told = record.may("provenance", dict) or {}
    return _only_texts({k: v for k, v in told.items() if k != "versions"}) | _only_texts(
        record.may("provenance.versions", dict) or {}
    )


def _only_texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _data(record: _Document) -> Data | None:
    if record.may("provenance.data", dict) is None:
        return None
    return Data(
        dataset=record.need("provenance.data.dataset", str),
        state=record.need("provenance.data.state", str),
        samples=record.need("provenance.data.samples", str),
        sha256=record.need("provenance.data.sha256", str),
    )


def _samples(record: _Document) -> Samples | None:
    if record.may("samples", dict) is None:
        return None
    return Samples(
        train=_count(record, "samples.train"),
        validation=_count(record, "samples.validation"),
        test=_count(record, "samples.test"),
        test_of=_count(record, "samples.test_of"),
        test_selection=record.need_one_of("samples.test_selection", SELECTIONS),
    )


def _floors(record: _Document) -> dict[str, dict[str, float]]:
    floors = {}
    for name, metrics in (record.may("floors", dict) or {}).items():
        if not isinstance(metrics, dict):
            raise record.wrong(f"'{name}' in 'floors' is not an object")
        floors[name] = _checked_numbers(record, metrics, f"floors.{name}")
    return floors


def _cell(cell: _Document, read: Callable[[str], Run | None]) -> Cell:
    study = cell.need("study", str)
    if study != cell.path.stem:
        raise cell.wrong("'study' is not the name of its file")

    def finished(name: str) -> Iterator[Run]:
        # Cells of a sweep that knew no bases have none.
        for run_id in cell.may(name, list) or [] if name == "bases" else cell.need(name, list):
            if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
                raise cell.wrong(f"'{name}' holds something other than run ids")
            if run := read(run_id):
                yield run

    metric, directions = cell.need("metric", str), cell.need("directions", dict)
    for name in {metric, *directions}:
        if directions.get(name) not in ("maximize", "minimize"):
            raise cell.wrong(f"the direction of '{name}' is none of maximize, minimize")
    trials, best = tuple(finished("trials")), cell.may("best", str)
    return Cell(
        study=study,
        variant=cell.need("variant", str),
        dataset=cell.need("dataset", str),
        task=cell.need("task", str),
        profile=cell.need("profile", str),
        metric=metric,
        directions=directions,
        reason=cell.may("reason", str) or "",
        data=cell.may("data", str) or "",
        planned={k: int(v) for k, v in _numbers(cell, "planned").items() if math.isfinite(v)},
        importance=_numbers(cell, "importance"),
        bases=tuple(finished("bases")),
        trials=trials,
        finals=tuple(finished("finals")),
        cost=cell.may("cost", str) or "",
        saved_epochs=_count(cell, "epochs.saved"),
        retries=_count(cell, "retries"),
        finished_trials=_finished_trials(cell, len(trials)),
        best=next((trial for trial in trials if trial.run_id == best), None),
    )


def _finished_trials(cell: _Document, runs: int) -> int:
    """Counts the trials that have finished; a trial may have several runs, one per seed."""
    if cell.may("states", dict) is None:  # a ledger of an older version
        return runs
    return sum(int(n) for n in _numbers(cell, "states").values() if 0 <= n < LARGEST_COUNT)


def _count(document: _Document, name: str) -> int:
    """Reads the count at a dotted name; 0 if there is none. Raises ReportError if it is negative or
    larger than `LARGEST_COUNT`."""
    value = document.may(name, int) or 0
    if not 0 <= value <= LARGEST_COUNT:
        raise document.wrong(f"'{name}' is not a count")
    return value


def _numbers(document: _Document, name: str) -> dict[str, float]:
    return _checked_numbers(document, document.may(name, dict) or {}, name)


def _checked_numbers(document: _Document, values: Mapping[str, Any], name: str) -> dict[str, float]:
    numbers = {}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise document.wrong(f"'{key}' in '{name}' is not a number")
        try:
            numbers[key] = float("nan") if value is None else float(value)
        except OverflowError as error:
            raise document.wrong(f"'{key}' in '{name}' is too large a number") from error
    return numbers


def _texts(document: _Document, name: str) -> dict[str, str]:
    texts = document.may(name, dict) or {}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise document.wrong(f"'{key}' in '{name}' is not a text")
    return texts


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ReportError(f"{path}: cannot be read ({reason})") from error
