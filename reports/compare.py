"""Compares two results folders cell by cell."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from benchmarks.records.record import RunRecord
from reports.formats import frame
from reports.results import Cell, Results
from reports.statistics.intervals import ENOUGH_SEEDS, mean
from reports.statistics.means import Difference, paired
from reports.statistics.multiple_comparisons import LEVEL
from reports.statistics.ranking import scores_of_finals, seed_scores

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
better: how much better (+) or worse (-) B is, over the n seeds of both, and its
interval; in at least 95 of 100 comparisons, all intervals hold at once
verdict: unclear where the interval includes 0: it may be luck of seeds and images\
"""


def compare(a: Results, b: Results) -> pd.DataFrame:
    """Builds one row per cell of either folder: means, and the paired difference of B to A.

    Intervals and p-values are Bonferroni's for all cells with a difference that can be judged, so
    that they agree: an interval excludes 0 where `p` is at most 5 %.

    `verdict` is `better`, `worse` or `unclear` at the 5 % level; `equal` if all pairs are
    equal; `no spread` if all pairs differ by the same amount, which no test can judge; `only in A`,
    `only in B`, `no common seeds`, `too few seeds` or `not finite`. `changed` names what else
    differs.
    """
    ours, theirs = ({cell.study: cell for cell in results.cells} for results in (a, b))
    cells = theirs | ours
    names = sorted(cells, key=lambda name: cells[name].order)
    pairs = [(ours.get(name), theirs.get(name)) for name in names]
    differences = [_difference(one, other) for one, other in pairs]
    judged = sum(difference.known for difference in differences)
    rows = (_row(*pair, d, judged) for pair, d in zip(pairs, differences, strict=True))
    return frame(COLUMNS, (tuple(row[name] for name in COLUMNS) for row in rows))


def _difference(a: Cell | None, b: Cell | None) -> Difference:
    """Compares the finals of B with those of A by the primary metric."""
    cell = b or a
    assert cell is not None
    theirs, ours = (scores_of_finals(one, cell.metric) if one else {} for one in (a, b))
    tested = min(seed_scores(one, cell.metric).tested for one in (a, b) if one)
    return paired(ours, theirs, tested=tested)


def _row(a: Cell | None, b: Cell | None, difference: Difference, judged: int) -> dict[str, Any]:
    cell = b or a
    assert cell is not None
    row: dict[str, Any] = {
        name: getattr(cell, name) for name in ("task", "dataset", "variant", "profile", "metric")
    }
    for side, one in (("a", a), ("b", b)):
        values = [*scores_of_finals(one, cell.metric).values()] if one else []
        row |= {side: mean(values), f"seeds_{side}": len(values)}
    sign = 1 if cell.direction == "maximize" else -1
    ends = difference.interval(LEVEL / max(1, judged))
    low, high = sorted(sign * end for end in ends)
    row |= {"better": sign * difference.mean + 0.0, "low": low, "high": high}
    p = judged * difference.p
    row |= {"pairs": difference.n, "p": 1.0 if p > 1 else p}
    row["changed"] = ", ".join(_changed(a, b)) if a and b else ""
    row["verdict"] = _verdict(row, difference)
    if a is None or b is None:
        row["verdict"] = f"only in {'B' if a is None else 'A'}"
    return row


def _verdict(row: dict[str, Any], difference: Difference) -> str:
    if difference.n == 0:
        return "no common seeds"
    if difference.equal:
        return "equal"
    if not math.isfinite(difference.mean):
        return "not finite"
    if difference.n < ENOUGH_SEEDS:
        return "too few seeds"
    if not difference.known:
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
