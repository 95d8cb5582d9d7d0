"""Measures how the cost of a study grows with its trials; prints Markdown, one row per size.

Call: `python -m tests.tools.growth`. A study of finished trials with 4 hyper-parameters and 10
epochs, two in five of them pruned, is stored in SQLite; records and metrics of its runs are in a
results folder, as a sweep stores them. First resuming is measured, which reads the trials and
verifies each record. Then come twenty more trials: the default sampler proposes each, and the cell
takes its record. Times are seconds of the processor and, in brackets, of the clock; the data is
read before. Each size is measured in its own process, and its memory is the peak of this process.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.folders import RunFolder
from benchmarks.records.ledger import Planned
from benchmarks.records.record import Provenance, RunRecord, SampleCounts
from benchmarks.records.spec import RunSpec
from benchmarks.specs import profiles
from benchmarks.specs.profiles import ProfileName
from models import registry
from sweeps.cells.cell import Cell
from sweeps.cells.cell_specs import CellSpecs
from sweeps.studies import space, storages

SIZES = (100, 1_000, 10_000)
FURTHER = 20
VARIANT, DATASET = "cnn", "mnist"
PROVENANCE = Provenance(
    code_version="0123456789ab", versions={}, platform="", cpu="", cpu_capability=""
)
SAMPLES = SampleCounts(train=1, validation=1, test=1, test_of=1, test_selection="all")


class Clock:
    """Measures the seconds since it was made."""

    def __init__(self) -> None:
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        return time.process_time() - self._processor, time.perf_counter() - self._wall


def cell(results: Path, storage: optuna.storages.BaseStorage, trials: int) -> Cell:
    profile = profiles.load_profile(ProfileName.standard)
    source = DataSource(results / "no data: stand-ins")
    specs = CellSpecs(VARIANT, DATASET, profile=profile, source=source)
    planned = Planned(trials=trials, finals=profile.finals)
    return Cell(specs, planned, results=results, storage=storage)


def recorded(
    results: Path,
    spec: RunSpec,
    scores: list[float],
    *,
    pruned: bool = False,
    reason: str | None = None,
) -> RunRecord:
    """Writes the record and the metrics of a run as `run` writes them; with a reason, of a
    failed run.
    """
    epochs = [{"epoch": n, "metrics": {"validation/accuracy": s}} for n, s in enumerate(scores, 1)]
    scored = ("validation/accuracy", "test/accuracy")[: 2 if spec.role == "final" else 1]
    decided = {
        "spec": spec.model_dump(mode="json"),
        "status": "failed" if reason else "pruned" if pruned else "complete",
        "reason": reason,
        "epochs": len(scores),
        "metric": "accuracy",
        "directions": {"accuracy": "maximize", "balanced_accuracy": "maximize"},
        "absent": {},
        "metrics": dict.fromkeys(scored, scores[-1]) if scores else {},
        "floors": {},
        "samples": SAMPLES.model_dump(mode="json"),
        "history": scores,
        "weights_sha256": "0" * 64,
    }
    home = RunFolder(results, spec.run_id).path
    home.mkdir(parents=True, exist_ok=True)
    (home / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    record = RunRecord(
        run_id=spec.run_id,
        study=None,
        digest=RunRecord.digest_of(decided, epochs),
        costs={"seconds": 1.0},
        provenance=PROVENANCE,
        **decided,
    ).sealed()
    (home / "record.json").write_text(record.model_dump_json())
    return record


def scores(draw: random.Random) -> tuple[list[float], bool]:
    """Draws a learning curve. Returns its values, and whether it was pruned."""
    pruned = draw.random() < 0.4
    return [draw.random() for _ in range(4 if pruned else 10)], pruned


def finished(results: Path, kept: Cell, count: int) -> list[FrozenTrial]:
    """Makes trials as sweeps store them, with random hyper-parameters, and their records."""
    chosen = space.load_space(VARIANT, registry.variant(VARIANT), ProfileName.standard)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    draw = random.Random(0)
    trials = []
    for number in range(count):
        trial = study.ask()
        chosen.suggest(trial)
        history, pruned = scores(draw)
        spec = kept.specs.trial(number, trial.params)
        record = recorded(results, spec, history, pruned=pruned)
        trials.append(
            create_trial(
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
                value=history[-1],
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=dict(enumerate(history, start=1)),
                user_attrs={
                    "run_ids": [record.run_id],
                    "reason": None,
                    "traceback": None,
                    "seconds": 1.0,
                    "code_version": "0123456789ab",
                },
            )
        )
    return trials


def prepare(count: int, results: Path) -> None:
    (results / "cells").mkdir()
    with storages.open_storage(results) as storage:
        kept = cell(results, storage, count)
        study = optuna.load_study(storage=storage, study_name=kept.study)
        study.add_trials(finished(results, kept, count))


def measure(count: int, results: Path) -> str:
    """Measures one size, and returns its row."""
    profile = profiles.load_profile(ProfileName.standard)
    task = registry.available()[VARIANT].task
    source = DataSource(results / "no data: stand-ins")
    datasets.find(DATASET).describe(task, budget=profile.budgets[task], source=source)
    draw = random.Random(1)
    with storages.open_storage(results) as storage:
        clock = Clock()
        kept = cell(results, storage, count + FURTHER)
        resumed = clock.read()
        proposing, taking = [], []
        for _ in range(FURTHER):
            clock = Clock()
            job = kept.next_job()
            proposing.append(clock.read())
            assert job is not None
            history, pruned = scores(draw)
            record = recorded(results, job.spec, history, pruned=pruned)
            clock = Clock()
            kept.take_record(record)
            kept.store()
            taking.append(clock.read())
    first, *following = proposing
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = (resumed, first, _median(following), _ninth(following), _median(taking))
    cells = [f"{own:.3f} ({wall:.3f})" for own, wall in figures]
    return f"| {count:,} | {' | '.join(cells)} | {memory:.0f} |"


def _median(times: list[tuple[float, float]]) -> tuple[float, ...]:
    return tuple(statistics.median(column) for column in zip(*times, strict=True))


def _ninth(times: list[tuple[float, float]]) -> tuple[float, ...]:
    return tuple(statistics.quantiles(column, n=10)[-1] for column in zip(*times, strict=True))


def main() -> None:
    if len(sys.argv) == 3:
        print(measure(int(sys.argv[1]), Path(sys.argv[2])))
        return
    print(
        "| trials | resumed, s | first proposal, s | median, s | 90th percentile, s "
        "| record taken, s | MiB |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for count in SIZES:
        with tempfile.TemporaryDirectory() as results:
            prepare(count, Path(results))
            command = [sys.executable, "-m", "tests.tools.growth", str(count), results]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
