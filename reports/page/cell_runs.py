"""Collects what the page shows of a cell: metrics, hyper-parameters, and runs with files."""

from __future__ import annotations

import math
import shlex
from typing import Any

from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from reports.formats import one_line, readable, stem, with_interval
from reports.intervals import estimate
from reports.ranking import seed_scores
from reports.results import Cell, Results
from reports.tables.leaderboard_table import by_seed
from reports.tables.trial_lists import as_text


def anchor(cell: Cell) -> str:
    """Returns the id of a cell in the page."""
    return stem("cell", cell.study)


def group_name(task: str, profile: str) -> str:
    """Returns the heading of a task and profile."""
    return one_line(f"{task} (profile {profile})")


def cell_runs(results: Results, cell: Cell) -> dict[str, Any]:
    """Collects what the page shows of a cell: its finals, its best trial, and their bases."""
    metrics = {name for run in cell.scored for name in run.metrics if name.startswith("test/")}

    def with_interval_of(metric: str) -> str:
        seeds = seed_scores(cell, metric)
        score, low, high, n, of = estimate(seeds)
        mean, between = with_interval(score, low, high, of, by_seed(seeds))
        return f"{mean} ({', '.join(filter(None, (between, f'n = {n}')))})"

    names = sorted(name.removeprefix("test/") for name in metrics)
    best = [cell.best] if cell.best else []
    settings = cell.chosen.spec.hyperparameters if cell.chosen else {}
    return {
        "id": anchor(cell),
        "name": one_line(f"{cell.variant} on {cell.dataset} ({cell.task}, profile {cell.profile})"),
        "progress": cell.progress,
        "reason": one_line(cell.ledger.reason or "") if not cell.scored else "",
        "metrics": [(one_line(name), with_interval_of(name)) for name in names],
        "settings": [(one_line(k), one_line(as_text(v))) for k, v in sorted(settings.items())],
        "runs": [_run(results, cell, run) for run in (*cell.finals, *best, *cell.bases)],
    }


def _run(results: Results, cell: Cell, run: RunRecord) -> dict[str, Any]:
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
    command = ["python", "-m", "benchmarks", "reproduce", run.run_id]
    return {
        "id": run.run_id,
        "role": {"trial": "best trial", "base": f"base ({one_line(run.variant)})"}.get(
            run.role, run.role
        ),
        "seed": run.seed,
        "text": f"{text}, {one_line(run.reason)}" if run.reason else text,
        "links": [
            {"name": name, "href": f"../runs/{run.run_id}/{file}"}
            for name, file in files.items()
            if (folder / file).exists()
        ],
        "command": shlex.join([*command, "--results", str(results.root)]),
    }
