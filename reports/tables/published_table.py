"""Builds the table of published figures, with our means beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from reports.formats import frame
from reports.published import beside, differences, gap, gap_interval, published_figures
from reports.results import Results
from reports.row_order import by_dataset, by_task
from reports.statistics.intervals import estimate
from reports.statistics.ranking import scores_of_finals, seed_scores
from reports.tables.leaderboard_table import test_set_size

PUBLISHED = {
    "task": "str",
    "dataset": "str",
    "metric": "str",
    "model": "str",
    "value": "float64",
    "spread": "float64",
    "n": "Int64",
    "variant": "str",
    "profile": "str",
    "ours": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "seeds": "Int64",
    "test_samples": "Int64",
    "gap": "float64",
    "gap_low": "float64",
    "gap_high": "float64",
    "gap_of": "str",
    "selection": "str",
    "differs": "str",
    "source": "str",
}

PUBLISHED_NOTE = """\
- **value** is as published, in our unit (an error of 0.25 % is an accuracy of 0.9975), with its
  **spread** (standard deviation) over **n** runs, if known.
- **ours** is the mean of the variant of that row over **seeds**, on **test_samples**, with its
  interval; **gap** is how much better (+) or worse (-) it is. **gap_low** and **gap_high** bound
  its 95 % interval: of *ours and theirs* (**gap_of**), or of *ours alone* where the source does not
  say how much its runs vary. Rows without a variant are models that are not in the matrix.
- **selection** says on what data the published model or epoch was chosen. Ours is chosen on
  validation data, and scored once on test data. **differs** says what else differs: where it says
  *not comparable*, there is no gap.
"""


def published(results: Results) -> pd.DataFrame:
    """Builds one row per published figure and profile, with our mean beside it.

    Figures of datasets that the results do not have are left out.
    """
    return frame(PUBLISHED, _published_rows(results))


def _published_rows(results: Results) -> Iterator[tuple[Any, ...]]:
    places = {(c.task, c.dataset) for c in results.cells}
    for p in sorted(published_figures(), key=lambda p: (by_task(p.task), by_dataset(p.dataset))):
        if (p.task, p.dataset) not in places:
            continue
        figure = (p.task, p.dataset, p.metric, p.model, p.value, p.spread, p.n)
        cells = [
            c for c in results.cells if scores_of_finals(c, p.metric) and beside(c, p.metric) == p
        ]
        for cell in cells:
            seeds = seed_scores(cell, p.metric)
            score = estimate(seeds)
            mean, low, high, n, _ = score
            ours = (cell.variant, cell.profile, mean, low, high, n, test_set_size(cell.scored))
            gaps = (gap(mean, cell, p), *gap_interval(score, seeds.tested, cell, p))
            differs = "; ".join(differences(cell, p))
            yield (*figure, *ours, *gaps, p.selection, differs, p.source)
        if not cells:
            nothing = (p.variant or "", "", *[math.nan] * 3, None, None, *[math.nan] * 3, "")
            yield (*figure, *nothing, p.selection, p.protocol, p.source)
