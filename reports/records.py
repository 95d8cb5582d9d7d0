"""Reading a results folder: cells, runs and learning curves, from the files a sweep leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
RUN_ID = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""Names a folder within `runs/`, never one elsewhere."""


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
class Run:
    """One training with its evaluation, as its record tells it."""

    run_id: str
    role: str
    variant: str
    dataset: str
    seed: int
    hyperparameters: Mapping[str, Any]
    status: str
    reason: str
    epochs: int
    digest: str
    metrics: Mapping[str, float]
    """By name with split, such as `test/accuracy`; NaN where the record has null."""
    costs: Mapping[str, float]
    data: Data | None
    """None where a run failed before it had data."""

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
    bases: tuple[Run, ...]
    """Runs of another variant whose trained models this cell's runs rest on."""
    trials: tuple[Run, ...]
    finals: tuple[Run, ...]
    best: Run | None
    cost: str
    """The second objective of its study, such as `parameters`; empty where there is none."""
    saved_epochs: int
    """Epochs that pruned trials did not have."""

    @property
    def direction(self) -> str:
        """Which way the primary metric is better."""
        return self.directions[self.metric]

    @property
    def scored(self) -> tuple[Run, ...]:
        """The finals that completed: what every figure of this cell is made from."""
        return tuple(run for run in self.finals if run.complete)


@dataclass(frozen=True)
class Results:
    """All cells of a results folder, sorted by their names."""

    root: Path
    cells: tuple[Cell, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """The finished runs that cells name, each once."""
        runs = (run for c in self.cells for run in (*c.bases, *c.trials, *c.finals))
        return tuple({run.run_id: run for run in runs}.values())


def load(root: Path) -> Results:
    """Reads the folder as it is now.

    A run counts where a cell names it, and has finished where it has a record. What else lies in
    `runs/` is no part of the sweep: runs made by hand, finals of a trial that is no longer best.
    """
    paths = sorted((root / "cells").glob("*.json"))
    if not paths:
        raise ReportError(f"{root}: no results here yet; a sweep makes them (python -m sweeps run)")
    return Results(root, tuple(_cell(_Document(path), root / "runs") for path in paths))


def curve(results: Results, run: Run, metric: str) -> dict[int, float]:
    """`metric` by epoch; where an epoch was repeated after a crash, its last line counts."""
    if run.epochs == 0:
        return {}
    path = results.root / "runs" / run.run_id / "metrics.jsonl"
    lines = (_Document(path, line) for line in _text(path).splitlines())
    return {
        line.need("epoch", int): metrics[metric]
        for line in lines
        if metric in (metrics := _numbers(line, "metrics"))
    }


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


def _run(record: _Document) -> Run:
    run = Run(
        run_id=record.need("run_id", str),
        role=record.need_one_of("spec.role", ("base", "trial", "final")),
        variant=record.need("spec.variant", str),
        dataset=record.need("spec.dataset", str),
        seed=record.need("spec.seed", int),
        hyperparameters=record.need("spec.hyperparameters", dict),
        status=record.need_one_of("status", ("complete", "pruned", "failed")),
        reason=record.may("reason", str) or "",
        epochs=record.may("epochs", int) or 0,
        digest=record.may("digest", str) or "",
        metrics=_numbers(record, "metrics"),
        costs=_numbers(record, "costs"),
        data=_data(record),
    )
    if run.run_id != record.path.parent.name:
        raise record.wrong("'run_id' is not the name of its folder")
    primary = f"test/{record.need('metric', str)}"
    if run.role == "final" and run.complete and primary not in run.metrics:
        raise record.wrong(f"a completed final lacks '{primary}'")
    return run


def _data(record: _Document) -> Data | None:
    if record.may("provenance.data", dict) is None:
        return None
    return Data(
        dataset=record.need("provenance.data.dataset", str),
        state=record.need("provenance.data.state", str),
        samples=record.need("provenance.data.samples", str),
        sha256=record.need("provenance.data.sha256", str),
    )


def _cell(cell: _Document, runs: Path) -> Cell:
    study = cell.need("study", str)
    if study != cell.path.stem:
        raise cell.wrong("'study' is not the name of its file")

    def finished(name: str) -> Iterator[Run]:
        for run_id in cell.need(name, list):
            if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
                raise cell.wrong(f"'{name}' holds something other than run ids")
            if (path := runs / run_id / "record.json").is_file():
                yield _run(_Document(path))

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
        bases=tuple(finished("bases")),
        trials=trials,
        finals=tuple(finished("finals")),
        cost=cell.may("cost", str) or "",
        saved_epochs=cell.may("epochs.saved", int) or 0,
        best=next((trial for trial in trials if trial.run_id == best), None),
    )


def _numbers(document: _Document, name: str) -> dict[str, float]:
    numbers = {}
    for key, value in (document.may(name, dict) or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise document.wrong(f"'{key}' in '{name}' is not a number")
        numbers[key] = float("nan") if value is None else float(value)
    return numbers


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ReportError(f"{path}: cannot be read ({reason})") from error
