"""Compares two results folders cell by cell."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.formats import frame
from reports.intervals import ENOUGH_SEEDS, mean
from reports.multiple_comparisons import LEVEL
from reports.ranking import scores_of_finals, seed_scores
from reports.results import Cell, Results
from reports.statistics import holm, paired

COLUMNS = {
    "task": "str",
    "dataset": "str",
    "variant": "str",
    "profile": "str",
    "metric": "str",
    "a": "float64",
    "seeds_a": "int64",
    "b": "float64",
    "seeds_b": "int64",
    "better": "float64",
    "low": "float64",
    "high": "float64",
    "pairs": "int64",
    "p": "float64",
    "verdict": "str",
    "changed": "str",
}

NOTE = """\
better: how much better (+) or worse (-) B is, over the n seeds of both,
± half of its 95 % interval; verdict: by paired t-test, corrected by Holm
for all cells: with few seeds, only large differences are significant\
"""


def compare(a: Results, b: Results) -> pd.DataFrame:
    """Builds one row per cell of either folder: means, and the paired difference of B to A.

    `verdict` is `better`, `worse` or `unclear` at the 5 % level; `equal` if all pairs are
    equal; `no spread` if all pairs differ by the same amount, which no test can judge; `only in A`,
    `only in B`, `no common seeds` or `too few seeds`. `changed` names what else differs.
    """
    ours, theirs = ({cell.study: cell for cell in results.cells} for results in (a, b))
    cells = theirs | ours
    names = sorted(cells, key=lambda name: cells[name].order)
    rows = [_row(ours.get(name), theirs.get(name)) for name in names]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p"] = p
        row["verdict"] = row["verdict"] or _verdict(row)
    return frame(COLUMNS, (tuple(row[name] for name in COLUMNS) for row in rows))


def _row(a: Cell | None, b: Cell | None) -> dict[str, Any]:
    cell = b or a
    assert cell is not None
    row: dict[str, Any] = {
        name: getattr(cell, name) for name in ("task", "dataset", "variant", "profile", "metric")
    }
    for side, one in (("a", a), ("b", b)):
        values = [*scores_of_finals(one, cell.metric).values()] if one else []
        row |= {side: mean(values), f"seeds_{side}": len(values)}
    difference = paired(
        scores_of_finals(b, cell.metric) if b else {},
        scores_of_finals(a, cell.metric) if a else {},
        tested=seed_scores(cell).tested,
    )
    sign = 1 if cell.direction == "maximize" else -1
    low, high = sorted((sign * difference.low, sign * difference.high))
    row |= {"better": sign * difference.mean, "low": low, "high": high}
    row |= {"pairs": difference.n, "p": difference.p, "verdict": "", "changed": ""}
    if a is None or b is None:
        row["verdict"] = f"only in {'B' if a is None else 'A'}"
    else:
        row["changed"] = ", ".join(_changed(a, b))
    return row


def _verdict(row: dict[str, Any]) -> str:
    if row["pairs"] == 0:
        return "no common seeds"
    if row["better"] == row["low"] == row["high"] == 0:
        return "equal"
    if row["pairs"] < ENOUGH_SEEDS:
        return "too few seeds"
    if math.isnan(row["p"]):
        return "no spread"
    if row["p"] > LEVEL:
        return "unclear"
    return "better" if row["better"] > 0 else "worse"


def _changed(a: Cell, b: Cell) -> list[str]:
    """Lists what else differs between the finals of two cells."""

    def facts(cell: Cell) -> dict[str, set[str]]:
        runs = cell.scored
        return {
            "data": {run.data.sha256 for run in runs if run.data},
            "code": {run.provenance.code_version for run in runs},
            "libraries or processor": {_conditions(run) for run in runs},
            "hyper-parameters": {repr(sorted(run.spec.hyperparameters.items())) for run in runs},
            "device": {run.spec.device for run in runs},
        }

    one, two = facts(a), facts(b)
    return [name for name in one if one[name] and two[name] and one[name] != two[name]]


def _conditions(run: RunRecord) -> str:
    """Describes the libraries and the processor, or GPU, that decide the bits of a run."""
    known = run.provenance.conditions(run.spec.device)
    return repr({name: value for name, value in known.items() if name != "code_version"})
