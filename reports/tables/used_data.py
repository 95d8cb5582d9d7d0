"""Builds the table of the data that runs used."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from benchmarks.records.record import DataInfo, SampleCounts
from reports.formats import frame
from reports.results import Results
from reports.row_order import by_dataset

DATA = {
    "dataset": "str",
    "state": "str",
    "samples": "str",
    "train": "Int64",
    "validation": "Int64",
    "test": "Int64",
    "test_of": "Int64",
    "test_selection": "str",
    "runs": "int64",
    "sha256": "str",
}

DATA_NOTE = """\
- **samples** is what the dataset has. **train**, **validation** and **test** are how many samples
  each of the **runs** used; they are empty where the records do not have them.
- **test_selection** says how the test samples were chosen from **test_of**: *all*; *stratified*, a
  seeded subset with the classes in proportion; *random*, a seeded subset; *generated* with a fixed
  seed. Finals score them, trials do not.
"""


def data(results: Results) -> pd.DataFrame:
    """Builds one row per dataset state and number of samples used, and counts the runs of each."""
    seen = Counter((*_data(r.data), r.samples) for r in results.runs if r.data and r.samples)
    rows = [_seen(*key, n) for key, n in seen.items()]
    rows.sort(key=lambda row: (by_dataset(row[0]), *("" if x is None else f"{x:>20}" for x in row)))
    return frame(DATA, rows)


def _data(data: DataInfo) -> tuple[str, str, str, str]:
    """Returns the dataset, state, samples and hash of data, without its path."""
    return data.dataset, data.state, data.samples, data.sha256


def _seen(
    dataset: str, state: str, samples: str, sha256: str, used: SampleCounts, runs: int
) -> tuple[Any, ...]:
    counts = (used.train, used.validation, used.test, used.test_of, used.test_selection)
    return (dataset, state, samples, *counts, runs, sha256)
