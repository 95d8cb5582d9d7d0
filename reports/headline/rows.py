"""Reads the headline rows, and the records that each row is made from."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from pydantic import Field

from benchmarks.records.atomic_files import write_json
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, parse_lines
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Frozen
from reports.statistics.intervals import Estimate, SeedScores, estimate

FOLDER = Path(__file__).parent
RECORDS = FOLDER / "records"
PROFILE = "published"
"""The profile of all headline runs."""


class PublishedFigure(Frozen):
    """Holds the figure that a source reports, and how the source obtained it."""

    value: float
    curve: tuple[float, ...] = ()
    """By epoch, where the source has it."""
    spread: float | None = None
    """The standard deviation over `n` runs."""
    n: int = 1
    selection: str
    """On what data the source chose the epoch or model: none, validation, test or unknown."""
    protocol: str
    source: str


class Bound(Frozen):
    """Holds the lowest and the highest figure that fulfil the aim of a row."""

    at_least: float = -math.inf
    at_most: float = math.inf


class Row(Frozen):
    """Holds one headline row of `rows.yaml`; that file explains the fields."""

    name: str
    title: str
    variant: str
    dataset: str
    metric: str = Field(description="with its split, such as test/accuracy")
    epochs: int | None = Field(None, description="None: those of the profile")
    train_samples: int | None = None
    validation_samples: int | None = None
    test_curve: bool = Field(False, description="scored on test data after each epoch")
    settings: dict[str, float] = Field({}, description="hyper-parameters beside the profile's")
    aim: Bound | str | None = None
    verdict: str | None = None
    published: PublishedFigure | None = None

    @property
    def command(self) -> str:
        """Writes the command that makes the run of seed 0."""
        numbers = {
            "epochs": self.epochs,
            "train-samples": self.train_samples,
            "validation-samples": self.validation_samples,
        }
        options = [f"--{name} {value}" for name, value in numbers.items() if value is not None]
        options += ["--test-curve"] * self.test_curve
        options += [f"--set {name}={value:g}" for name, value in self.settings.items()]
        parts = ("capsbench run", self.variant, self.dataset, f"--profile {PROFILE} --final")
        return " ".join((*parts, "--threads 1", *options, "--seed 0"))

    def takes(self, record: RunRecord) -> bool:
        """Returns whether a record is a finished run of this row."""
        spec, budget = record.spec, record.spec.budget
        asked = (self.variant, self.dataset, "final", PROFILE)
        numbers = (
            (self.epochs, budget.epochs),
            (self.train_samples, budget.train_samples),
            (self.validation_samples, budget.validation_samples),
        )
        return (
            record.complete
            and asked == (spec.variant, spec.dataset, spec.role, budget.profile)
            and self.test_curve == spec.test_curve
            and all(number in (None, given) for number, given in numbers)
            and self.settings.items() <= spec.hyperparameters.items()
        )


@dataclass(frozen=True)
class Measured:
    """Holds a row with its records, one per seed."""

    row: Row
    records: Sequence[RunRecord]
    folder: Path
    """Has the metrics by epoch of each record, in `RUN_ID.jsonl`."""

    @property
    def values(self) -> list[float]:
        """Lists the metric of each seed."""
        return [record.metrics[self.row.metric] for record in self.records]

    @cached_property
    def score(self) -> Estimate:
        """Returns the mean over seeds, with its 95 % interval if there are three seeds or more."""
        return self._estimate(self.values)

    @cached_property
    def curve(self) -> list[Estimate]:
        """Returns the score after each epoch; empty if test data is scored at the end alone."""
        if not self.row.test_curve:
            return []
        by_seed = [self.by_epoch(record, self.row.metric)[1] for record in self.records]
        return [self._estimate(values) for values in zip(*by_seed, strict=True)]

    def by_epoch(self, record: RunRecord, metric: str) -> tuple[list[int], list[float]]:
        """Reads a metric by epoch.

        Args:
            record: one of `records`.
            metric: its name, such as `train/accuracy`.

        Returns:
            The epochs that have the metric, and its values.
        """
        lines = parse_lines((self.folder / f"{record.run_id}.jsonl").read_bytes())
        kept = [line for line in lines if metric in line["metrics"]]
        return [line["epoch"] for line in kept], [line["metrics"][metric] for line in kept]

    def _estimate(self, values: Sequence[float]) -> Estimate:
        split, metric = self.row.metric.split("/")
        counts = self.records[0].samples if self.records else None
        tested = 0 if counts is None else counts.test if split == "test" else counts.validation
        return estimate(SeedScores(values, metric, tested))

    @property
    def verdict(self) -> str:
        """Says whether the aim is reached, missed or not measured yet, and why."""
        if not self.records:
            return self.row.verdict or "not run yet"
        reached = self._reached
        if reached is None:
            return self.row.verdict or "measured"
        seeds = "" if len(self.records) > 2 else f" ({len(self.records)} of 3 seeds)"
        if reached:
            return f"reached{seeds}"
        return f"missed{seeds}: {self.row.verdict or 'the cause is not known yet'}"

    @property
    def _reached(self) -> bool | None:
        """Returns whether the aim is reached; None if the row has no aim, or too few seeds for
        it.
        """
        score, aim, figure = self.score, self.row.aim, self.row.published
        if isinstance(aim, Bound):
            return aim.at_least <= score.mean <= aim.at_most
        if aim is None or figure is None or math.isnan(score.low):
            return None
        pairs = [(figure.value, score)]
        if figure.curve and self.curve:
            pairs = list(zip(figure.curve, self.curve, strict=True))
        return all(ours.low <= value <= ours.high for value, ours in pairs)


def headline_rows() -> list[Row]:
    """Reads `rows.yaml`."""
    entries = yaml.safe_load((FOLDER / "rows.yaml").read_text(encoding="utf-8"))
    return [Row.model_validate(entry) for entry in entries]


def measured_rows(folder: Path = RECORDS) -> list[Measured]:
    """Reads the rows with their records, sorted by seed.

    Args:
        folder: has one `RUN_ID.json` per record.

    Raises:
        InputError: if a record belongs to no row.
    """
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    rows = headline_rows()
    for record in records:
        if not any(row.takes(record) for row in rows):
            raise InputError(f"{folder / record.run_id}.json belongs to no row of rows.yaml")
    return [
        Measured(row, sorted(filter(row.takes, records), key=lambda r: r.seed), folder)
        for row in rows
    ]


def read_record(path: Path) -> RunRecord:
    """Reads one record of a headline run, without checking the files of its run."""
    return RunRecord.model_validate_json(path.read_bytes())


def _public(record: RunRecord) -> RunRecord:
    """Removes from a record what only its machine knows: paths and the kernel. No digest has it."""
    where = record.provenance
    data = where.data and where.data.model_copy(update={"path": ""})
    kept = {"data": data, "platform": where.platform.split("-")[0]}
    kept |= {"host": None, "visible_devices": None}
    return record.sealed(provenance=where.model_copy(update=kept))


def add_records(results: Path, folder: Path = RECORDS) -> list[str]:
    """Copies the finished records of headline rows, and their metrics by epoch, into `folder`.

    Paths and names of the machine are left out.

    Args:
        results: a results folder with headline runs.
        folder: gets `RUN_ID.json` and `RUN_ID.jsonl`.

    Returns:
        The ids of the copied runs.

    Raises:
        InputError: if a record is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, copied = headline_rows(), []
    for run in ResultsFolder(results).run_folders():
        if (fault := run.damage()) is not None:
            raise InputError(f"{fault}: re-run it, and add it then")
        record = run.read()
        if record is not None and any(row.takes(record) for row in rows):
            write_json(folder / f"{run.run_id}.json", _public(record).model_dump(mode="json"))
            shutil.copyfile(run.metrics, folder / f"{run.run_id}.jsonl")
            copied.append(run.run_id)
    return copied
