"""The index: what records and curves say, in Parquet, so that a second report reads few files.

`report/index/runs.parquet` has a row a run, `report/index/curves/<hash>.parquet` the metrics of one
cell's runs by epoch. Both are made from the runs' files and hold nothing else: removing them, or
damaging them, costs the time to make them again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.formats import connection, literal, write_parquet
from reports.records import Cell, Data, ReportError, Results, Run, Samples, load

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

FOLDER = Path("report") / "index"

_NESTED = (
    "hyperparameters",
    "metrics",
    "costs",
    "absent",
    "provenance",
    "data",
    "samples",
    "floors",
)
_PLAIN = tuple(field.name for field in fields(Run) if field.name not in _NESTED)
_COLUMNS = {name: "BIGINT" if name == "epochs" else "VARCHAR" for name in (*_PLAIN, *_NESTED)}


def load_indexed(root: Path) -> Results:
    """What `records.load` gives, reading only the records that the index does not know."""
    return load(root, _known(root / FOLDER / "runs.parquet"))


def save(results: Results) -> None:
    """Writes the index of runs, where they have changed, and removes curves of other times."""
    path = results.root / FOLDER / "runs.parquet"
    stamps = [(run.run_id, run.stamp) for run in results.runs]
    if stamps != _select(path, {"run_id": "VARCHAR", "stamp": "VARCHAR"}):
        import pandas as pd

        rows = [_row(run) for run in results.runs]
        write_parquet(pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"seed": "str"}), path)
    used = {_curves_path(results, cell) for cell in results.cells}
    for old in (results.root / FOLDER / "curves").glob("*.parquet"):
        if old not in used:
            old.unlink(missing_ok=True)


def curves(results: Results, cell: Cell, metric: str | None = None) -> pd.DataFrame:
    """A metric of a cell's runs by epoch, or all, in columns run_id, epoch, metric, value.

    Where an epoch was repeated after a crash, its last line counts. Raises ReportError for a file
    that is missing or torn.
    """
    import duckdb

    path = _curves_path(results, cell)
    with connection() as database:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            _read_curves(database, results, cell, path)
        found = database.read_parquet(literal(path))
        if metric is not None:
            found = found.filter(
                duckdb.ColumnExpression("metric") == duckdb.ConstantExpression(metric)
            )
        return found.df()


def _row(run: Run) -> tuple[Any, ...]:
    # Not asdict(run), which copies every number: it took a fourth of the time of an index.
    row = vars(run) | {
        "data": run.data and vars(run.data),
        "samples": run.samples and vars(run.samples),
    }
    return tuple(
        json.dumps(row[name], sort_keys=True) if name in _NESTED else row[name] for name in _COLUMNS
    )


def _known(path: Path) -> dict[str, Run]:
    try:
        return {run.run_id: run for run in map(_run, _select(path, _COLUMNS))}
    except (ValueError, TypeError, KeyError):
        return {}  # damaged


def _select(path: Path, columns: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """The rows of the index; none where it is not there, damaged, or of another version."""
    if not path.is_file():
        return []
    import duckdb

    named = ", ".join(f"{name}::{kind}" for name, kind in columns.items())
    query = f"SELECT {named} FROM read_parquet($path)"
    try:
        with connection() as database:
            return database.execute(query, {"path": literal(path)}).fetchall()
    except duckdb.Error:
        return []


# Most runs share their data and provenance; what is shared is never changed.
_parsed = lru_cache(maxsize=4096)(json.loads)


def _run(row: tuple[Any, ...]) -> Run:
    values = dict(zip(_COLUMNS, row, strict=True))
    values |= {name: _parsed(values[name]) for name in _NESTED}
    values["seed"] = int(values["seed"])
    values["data"] = values["data"] and Data(**values["data"])
    values["samples"] = values["samples"] and Samples(**values["samples"])
    return Run(**values)


def _curves_path(results: Results, cell: Cell) -> Path:
    runs = [f"{run.run_id} {run.stamp}" for run in _trained(cell)]
    name = hashlib.sha256("\n".join((cell.study, *runs)).encode()).hexdigest()[:24]
    return results.root / FOLDER / "curves" / f"{name}.parquet"


def _trained(cell: Cell) -> Iterable[Run]:
    return [run for run in (*cell.trials, *cell.finals) if run.epochs]


def _read_curves(
    database: duckdb.DuckDBPyConnection, results: Results, cell: Cell, path: Path
) -> None:
    import duckdb

    folder = results.root / "runs"
    files = [folder / run.run_id / "metrics.jsonl" for run in _trained(cell)]
    for file in files:
        if not file.is_file():
            raise ReportError(f"{file}: cannot be read (no such file)")
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    names = [literal(file) for file in files]
    parameters = {"path": str(temporary.absolute())} | ({"files": names} if files else {})
    try:
        database.execute(long, parameters)
    except duckdb.Error as error:
        temporary.unlink(missing_ok=True)
        raise ReportError(f"curves of {cell.study}: torn or not JSON ({_first(error)})") from error
    temporary.replace(path)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
