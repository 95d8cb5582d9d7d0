"""Reads metrics by epoch, and stores them in Parquet, so that a second report reads few files.

`report/index/curves/<hash>.parquet` has the metrics of one cell's runs. It holds nothing but what
the runs' files hold, and may be deleted: the next report writes it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import RunFolder, parse_lines
from benchmarks.records.record import RunRecord
from reports.formats import write_parquet
from reports.results import Cell, Results

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path("report") / "index"


def curves(results: Results, cell: Cell, metric: str | None = None) -> pd.DataFrame:
    """Reads a metric of a cell's runs by epoch, from the index if possible.

    If an epoch was repeated after a crash, its last line counts.

    Args:
        results: the results; their folder has the index.
        cell: one of the cells of `results`.
        metric: a metric's name with its split, such as `train/loss`; None: all metrics.

    Returns:
        Columns run_id, epoch, metric, value.

    Raises:
        InputError: if a run's metrics are missing, or are not lines of JSON.
    """
    path = _curves_path(results, cell)
    found = _indexed(path, metric)
    if found is not None:
        return found
    table = _read_curves(results, cell)
    write_parquet(table, path)
    return table if metric is None else table[table["metric"] == metric].reset_index(drop=True)


def _indexed(path: Path, metric: str | None) -> pd.DataFrame | None:
    """Reads a file of the index; returns None if there is none, or a damaged one."""
    import pandas as pd

    filters = None if metric is None else [("metric", "==", metric)]
    try:
        # Without `partitioning`, a folder of the path such as `a=b` would become a column.
        return pd.read_parquet(path.absolute(), filters=filters, partitioning=None)
    except (OSError, ValueError):  # pyarrow's errors are ValueErrors
        return None


def _curves_path(results: Results, cell: Cell) -> Path:
    key = repr((cell.study, cell.stamps(_trained(cell))))
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    return results.root / FOLDER / "curves" / f"{name}.parquet"


def _trained(cell: Cell) -> Sequence[RunRecord]:
    return [run for run in (*cell.trials, *cell.finals) if run.epochs]


def _read_curves(results: Results, cell: Cell) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    columns: dict[str, list[Any]] = {"run_id": [], "epoch": [], "metric": [], "value": []}
    for run in sorted(_trained(cell), key=lambda run: run.run_id):
        file = RunFolder(results.root, run.run_id).metrics
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error
        try:
            points = {int(line["epoch"]): line["metrics"] for line in parse_lines(content)}
            for metric in sorted({name for metrics in points.values() for name in metrics}):
                epochs = sorted(epoch for epoch, metrics in points.items() if metric in metrics)
                columns["run_id"] += [run.run_id] * len(epochs)
                columns["epoch"] += epochs
                columns["metric"] += [metric] * len(epochs)
                values = [points[epoch][metric] for epoch in epochs]
                columns["value"] += np.array(values, dtype=float).tolist()  # None becomes NaN
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise InputError(f"{file}: torn or not JSON ({printable(str(error))})") from error
    types = {"run_id": "str", "epoch": "int64", "metric": "str", "value": "float64"}
    return pd.DataFrame(columns).astype(types)


def remove_other_curves(results: Results) -> None:
    """Deletes the files of the index that belong to earlier results."""
    used = {_curves_path(results, cell) for cell in results.cells}
    for old in (results.root / FOLDER / "curves").glob("*.parquet"):
        if old not in used:
            old.unlink(missing_ok=True)
