"""The index: metrics by epoch in Parquet, so that a second report reads few files.

`report/index/curves/<hash>.parquet` has those of one cell's runs. It is made from the runs' files
and holds nothing else: removing it costs the time to make it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.records.atomic_files import replacing
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from reports.formats import connection, literal
from reports.records import Cell, Results

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

FOLDER = Path("report") / "index"


def curves(results: Results, cell: Cell, metric: str | None = None) -> pd.DataFrame:
    """Reads a metric of a cell's runs by epoch, from the index where that has it.

    Of an epoch that was repeated after a crash, the last line counts.

    Args:
        results: the results, in whose folder the index is.
        cell: one of its cells.
        metric: a metric's name with its split, such as `train/loss`; None: all metrics.

    Returns:
        Columns run_id, epoch, metric, value.

    Raises:
        InputError: if a run's metrics are missing, or are not lines of JSON.
    """
    import duckdb

    path = _curves_path(results, cell)
    with connection() as database:
        found = _indexed(database, path)
        if found is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _read_curves(database, results, cell, path)
            found = database.read_parquet(literal(path))
        if metric is not None:
            found = found.filter(
                duckdb.ColumnExpression("metric") == duckdb.ConstantExpression(metric)
            )
        return found.df()


def _indexed(database: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation | None:
    """Opens a file of the index; None if there is none, or a damaged one."""
    import duckdb

    try:
        return database.read_parquet(literal(path)) if path.is_file() else None
    except duckdb.Error:
        return None


def _curves_path(results: Results, cell: Cell) -> Path:
    key = repr((cell.study, cell.stamps(_trained(cell))))
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    return results.root / FOLDER / "curves" / f"{name}.parquet"


def _trained(cell: Cell) -> Sequence[RunRecord]:
    return [run for run in (*cell.trials, *cell.finals) if run.epochs]


def _read_curves(
    database: duckdb.DuckDBPyConnection, results: Results, cell: Cell, path: Path
) -> None:
    import duckdb

    files = [RunFolder(results.root, run.run_id).metrics for run in _trained(cell)]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: cannot be read (no such file)")
    lines = """
        SELECT parse_path(filename)[-2] AS run_id, epoch, metrics, row_number() OVER () AS line
        FROM read_ndjson($files, filename = true,
            columns = {epoch: 'BIGINT', metrics: 'MAP(VARCHAR, DOUBLE)'})"""
    if not files:  # an empty list of files is an error to read_ndjson
        lines = """SELECT '' AS run_id, 0::BIGINT AS epoch, 0 AS line,
            NULL::MAP(VARCHAR, DOUBLE) AS metrics WHERE false"""
    long = f"""
        COPY (SELECT run_id, epoch, unnest(map_keys(metrics)) AS metric,
            unnest(map_values(metrics)) AS value
            FROM (SELECT run_id, epoch, arg_max(metrics, line) AS metrics
                FROM ({lines}) GROUP BY run_id, epoch)
            ORDER BY run_id, metric, epoch)
        TO $path (FORMAT parquet, COMPRESSION zstd)"""
    names = [literal(file) for file in files]
    try:
        with replacing(path.absolute()) as temporary:
            database.execute(long, {"path": str(temporary)} | ({"files": names} if files else {}))
    except duckdb.Error as error:
        reason = str(error).splitlines()[0][:300]
        raise InputError(f"curves of {cell.study}: torn or not JSON ({reason})") from error


def remove_other_curves(results: Results) -> None:
    """Removes the curves in the index that are not of these results, but of earlier ones."""
    used = {_curves_path(results, cell) for cell in results.cells}
    for old in (results.root / FOLDER / "curves").glob("*.parquet"):
        if old not in used:
            old.unlink(missing_ok=True)
