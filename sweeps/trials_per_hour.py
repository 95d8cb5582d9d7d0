"""Measures trials per hour of a sweep and of a plain script: `capsbench sweep-speed`.

Each search is a process of its own. All have the same model, data, budget, ranges, threads and
memory allocator. A sweep also trains and scores a final, and writes its report.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.records.folders import ResultsFolder
from benchmarks.speed.allocator import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
DATASET = "mnist"
WORKERS = (1, 2)

_COLUMNS = "{:<10} {:<8} {:<10} {:>13} {:>15} {:>8} {:>16} {:>8}"
_HEADINGS = (
    "variant",
    "pruning",
    "by",
    "s, all",
    "trials per hour",
    "× plain",
    "s per later one",
    "× plain",
)

_DRIVER = """
from benchmarks.commands.cli import main
from sweeps.__main__ import app
from sweeps.studies import study_configuration
if not {pruned}:
    study_configuration.StudyConfiguration.prunes_epochs = property(lambda _: False)
main(app)
"""


class SearchTimes(NamedTuple):
    """Holds the times of a search, in seconds."""

    seconds: float
    """From the start of the command to its end."""
    later: float
    """From the end of a trial to the end of the next one, after each worker's first trial."""


def print_trials_per_hour(variants: Sequence[str], trials: int, data: Path) -> None:
    """Runs the searches, and prints one row per search as soon as it has ended.

    Args:
        variants: the names of the variants.
        trials: the number of trials per study.
        data: the folder of the datasets.
    """
    keep_freed_memory()
    print(_COLUMNS.format(*_HEADINGS), flush=True)
    for variant in variants:
        for pruned in (False, True):
            plain = _plain(variant, trials, data, pruned)
            _print(variant, pruned, "plain", trials, plain, plain)
            for workers in WORKERS:
                ours = _sweep(variant, trials, data, pruned, workers)
                by = f"{workers} worker{'s' * (workers > 1)}"
                _print(variant, pruned, by, trials, ours, plain)


def _print(
    variant: str, pruned: bool, by: str, trials: int, timed: SearchTimes, plain: SearchTimes
) -> None:
    row = (
        variant,
        "median" if pruned else "none",
        by,
        f"{timed.seconds:.1f}",
        f"{3600 * trials / timed.seconds:.0f}",
        f"{plain.seconds / timed.seconds:.2f}",
        f"{timed.later:.3f}",
        f"{plain.later / timed.later:.2f}",
    )
    print(_COLUMNS.format(*row), flush=True)


def _plain(variant: str, trials: int, data: Path, pruned: bool) -> SearchTimes:
    with tempfile.TemporaryDirectory() as folder:
        asked = {"variant": variant, "dataset": DATASET, "trials": trials, "pruned": pruned}
        asked |= {"data": str(data), "folder": folder}
        call = ["-m", "sweeps.plain_recipe", json.dumps(asked)]
        seconds, output = _timed(call, WANDB_ERROR_REPORTING="false", WANDB_SILENT="true")
        return SearchTimes(seconds, _later(json.loads(output.splitlines()[-1]), 1))


def _sweep(variant: str, trials: int, data: Path, pruned: bool, workers: int) -> SearchTimes:
    call = ["-c", _DRIVER.format(pruned=pruned), "run", "--only", f"{variant}/{DATASET}"]
    call += ["--trials", str(trials), "--finals", "1", "--workers", str(workers)]
    call += ["--device", "cpu", "--data", str(data), "--offline"]
    with tempfile.TemporaryDirectory() as folder:
        seconds, _ = _timed([*call, "--results", folder])
        ends = sorted(_trial_ends(Path(folder)))
    return SearchTimes(seconds, _later(ends, workers))


def _trial_ends(results: Path) -> Iterator[float]:
    """Yields when the record of each trial was written, in seconds since the epoch."""
    for run in ResultsFolder(results).run_folders():
        record = run.read()
        if record is not None and record.role == "trial":
            yield run.record.stat().st_mtime


def _later(ends: list[float], first: int) -> float:
    """Computes the seconds per trial, without the first ones, in which each process imports."""
    return (ends[-1] - ends[first - 1]) / (len(ends) - first)


def _timed(call: Sequence[str], **environment: str) -> tuple[float, str]:
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *call],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    return time.perf_counter() - begun, done.stdout
