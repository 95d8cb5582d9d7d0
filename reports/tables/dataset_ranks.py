"""Builds the table of skills and ranks across datasets."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from reports.formats import frame
from reports.results import Results
from reports.statistics.aggregates import Across, across
from reports.statistics.ranking import score_order

RANKS = {
    "task": "str",
    "profile": "str",
    "variant": "str",
    "datasets": "int64",
    "of": "int64",
    "skill": "float64",
    "skill_low": "float64",
    "skill_high": "float64",
    "skill_of": "str",
    "mean_rank": "float64",
    "critical_difference": "float64",
    "friedman_p": "float64",
    "note": "str",
}

RANKS_NOTE = """\
- **datasets** counts the datasets on which the variant has finals, **of** those on which any has.
  Datasets with equal data count as one.
- **skill** is how much of the best trivial answer's error the variant takes away, the mean over its
  datasets: 0 is no better than that answer, 1 without any error, below 0 is worse. It does not
  depend on which other variants are here. **skill_low** and **skill_high** bound its 95 % interval,
  of what **skill_of** says, on these datasets.
- **mean_rank** is over datasets, 1 the best, among the variants here that cover all.
- **critical_difference** is Nemenyi's: a smaller difference of mean ranks is not significant at the
  5 % level. **friedman_p**: how often variants that are all alike would have ranks as unequal as
  these. **note** says which differences the test can find.
"""


def ranks(results: Results) -> pd.DataFrame:
    """Builds one row per task, profile and variant: its skill and mean rank over datasets."""
    rows = []
    for a in across(results):
        same = [f"{double} has the data of {first}" for double, first in a.doubles.items()]
        for variant in sorted(a.covered, key=lambda v: _by_skill(a, v)):
            mean, low, high, _, of = a.skills[variant]
            note = power(a) if variant in a.ranks.mean else "does not cover all datasets"
            rows.append(
                (
                    *(a.task, a.profile, variant, a.covered[variant], len(a.datasets)),
                    *(mean, low, high, of, a.ranks.mean.get(variant, math.nan)),
                    *(a.ranks.critical_difference, a.ranks.p, "; ".join([note, *same])),
                )
            )
    return frame(RANKS, rows)


def power(a: Across) -> str:
    """Says which differences of mean ranks the test can find."""
    k, n = len(a.ranks.mean), a.ranks.datasets
    if k < 2:
        return "fewer than two variants cover all datasets: nothing to rank"
    difference, widest = a.ranks.critical_difference, a.ranks.widest
    text = f"{k} variants, {n} datasets: mean ranks must differ by {difference:.2f}"
    text += f" of {widest:.0f} possible"
    return text if a.ranks.can_tell else f"{text}: no difference could be significant"


def _by_skill(a: Across, variant: str) -> tuple[Any, ...]:
    return -a.covered[variant], score_order(a.skills[variant].mean, "maximize"), variant
