"""Calls `python -m sweeps` with harder sweeps: in a process of its own, or in that of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from reports.build import build
from reports.tables import TABLES
from sweeps.__main__ import app
from sweeps.studies import storages
from tests.sweeps import harder

ROOT = Path(__file__).resolve().parents[2]
CELLS = ("linear/usps", "cnn/moving_mnist", "convlstm/mnist")
ONLY_ONE = ("--only", "linear/usps")
HARDER = str(Path(__file__).with_name("harder.py"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_DATA": "", "PYTHONPATH": str(ROOT)}


def command(*arguments: str, results: Path) -> list[str]:
    return [sys.executable, HARDER, *arguments, "--results", str(results)]


def options(*more: str) -> list[str]:
    """Lists the arguments of `run` that begin a sweep of all cells, or go on with it."""
    chosen = [part for cell in CELLS for part in ("--only", cell)]
    return ["run", "--profile", "smoke", "--offline", *chosen, *more]


def begin(results: Path, *more: str) -> list[str]:
    return command(*options(*more), results=results)


def call(arguments: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=1200, **how
    )


class NoReport:
    """Replaces the report, whose process takes seconds."""

    def __init__(self, results: Path) -> None: ...

    def prepare(self) -> None: ...

    def begin(self) -> None: ...

    def abandon(self) -> None: ...

    def write(self) -> int:
        return 0


class Report(NoReport):
    """Builds the report in this process, where its imports are."""

    def __init__(self, results: Path) -> None:
        self._results = results

    def write(self) -> int:
        build(self._results)
        return 0


@contextmanager
def hardened() -> Iterator[None]:
    """Makes the sweeps of this process those of `harder`."""
    with pytest.MonkeyPatch.context() as patched:
        harder.harden(patched.setattr)
        yield


def call_here(*arguments: str, results: Path, report: type[NoReport] = NoReport) -> int:
    """Calls a command of sweeps in this process, where no import costs time.

    Args:
        arguments: the command and its options.
        results: the results folder.
        report: writes the report after the sweep.

    Returns:
        The exit code.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(ROOT)
        patched.setenv("BENCH_DATA", "")
        patched.setattr("sweeps.__main__.ReportProcess", report)
        try:
            app([*arguments, "--results", str(results)], standalone_mode=False)
        except SystemExit as left:
            return int(left.code or 0)
    return 0


def tables(results: Path) -> dict[str, bytes]:
    """Reads all tables that must be equal in equal sweeps."""
    found = {
        path.name: path.read_bytes()
        for path in (results / "report" / "tables").iterdir()
        if not path.name.startswith(("costs.", "scores."))
    }
    assert {"leaderboard.csv", "metrics.csv", "runs.csv", "best_params.csv"} <= found.keys()
    return found


def new_tables(results: Path) -> dict[str, bytes]:
    """Writes the tables of a sweep in this process, and reads those that must be equal."""
    build(results, [*TABLES])
    return tables(results)


def ledger(results: Path, study: str = "linear-usps-smoke") -> dict[str, Any]:
    cell: dict[str, Any] = json.loads((results / "cells" / f"{study}.json").read_bytes())
    return cell


def digests(results: Path, study: str = "linear-usps-smoke") -> dict[str, str]:
    """Returns the digests of a cell's runs by run id."""
    cell = ledger(results, study)
    paths = [results / "runs" / run / "record.json" for run in (*cell["trials"], *cell["finals"])]
    return {record["run_id"]: record["digest"] for record in map(_read, paths)}


def _read(path: Path) -> dict[str, str]:
    record: dict[str, str] = json.loads(path.read_bytes())
    return record


def states(results: Path) -> dict[str, dict[str, int]]:
    """Counts how the trials of each study ended, by the cell's ledger."""
    cells = [json.loads(path.read_bytes()) for path in (results / "cells").glob("*.json")]
    return {cell["study"]: {k: n for k, n in cell["states"].items() if n} for cell in cells}


def stored_states(results: Path) -> dict[str, Counter[str]]:
    """Counts how the trials of each study ended, by Optuna."""
    with storages.open_storage(results) as storage:
        return {
            study: Counter(
                trial.state.name.lower()
                for trial in optuna.load_study(storage=storage, study_name=study).trials
            )
            for study in optuna.get_all_study_names(storage)
        }
