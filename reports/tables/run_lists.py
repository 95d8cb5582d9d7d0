"""Builds the tables of runs, of failures, and of the code and machines behind them."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.formats import frame
from reports.results import Results
from reports.tables.run_scores import run_order

RUNS = {
    "run_id": "str",
    "role": "str",
    "task": "str",
    "variant": "str",
    "dataset": "str",
    "profile": "str",
    "seed": "uint64",
    "status": "str",
    "reason": "str",
    "digest": "str",
}


def runs(results: Results) -> pd.DataFrame:
    """Builds one row per finished run of a cell, and per single run."""
    rows = (
        (
            *(r.run_id, results.role(r), results.task(r), r.variant, r.dataset),
            *(r.spec.budget.profile, r.seed, r.status, r.reason or "", r.digest),
        )
        for r in run_order(results)
    )
    return frame(RUNS, rows)


def failures(results: Results) -> pd.DataFrame:
    """Builds one row per failed run, then one per cell that could have no final, with reasons."""
    columns = ("run_id", "role", "variant", "dataset", "status", "reason")
    rows: list[tuple[str | None, ...]] = [
        (r.run_id, r.role, r.variant, r.dataset, r.status, r.reason or "")
        for r in run_order(results)
        if r.status == "failed"
    ]
    rows += [
        ("", "cell", cell.variant, cell.dataset, "no final", cell.ledger.reason)
        for cell in results.cells
        if cell.ledger.reason and not cell.scored
    ]
    return frame(dict.fromkeys(columns, "str"), rows)


def provenance(results: Results) -> pd.DataFrame:
    """Builds one row per fact on code, libraries and machine: its value and number of runs."""
    facts = Counter(fact for run in results.runs for fact in _facts(run))
    columns = {"fact": "str", "value": "str", "runs": "int64"}
    return frame(columns, ((*fact, n) for fact, n in sorted(facts.items())))


def _facts(run: RunRecord) -> list[tuple[str, str]]:
    """Lists the names and values of what a record knows of code, libraries and machine."""
    known = run.provenance.model_dump(exclude={"versions", "data"}) | run.provenance.versions
    known["device"] = run.spec.device
    return [(name, value) for name, value in known.items() if value is not None]
