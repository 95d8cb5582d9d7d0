"""Puts single runs side by side: what differs in their specs, their metrics, and their curves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.records.atomic_files import write_atomically
from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import ResultsFolder, RunFolder, parse_lines
from benchmarks.records.record import RunRecord

PICTURE = Path("report") / "compared-runs.png"


def read_runs(results: Path, run_ids: Sequence[str]) -> list[RunRecord]:
    """Reads the records of runs.

    Args:
        results: the results folder.
        run_ids: two ids of runs or more.

    Raises:
        InputError: if there are fewer than two, one is named twice, or a run has no undamaged
            record.
    """
    if len(run_ids) < 2:
        raise InputError("name two runs or more, or two results folders")
    if twice := [run_id for run_id, count in Counter(run_ids).items() if count > 1]:
        raise InputError(f"run {twice[0]!r} is named twice: name each run once")
    records = []
    for run_id in run_ids:
        folder = RunFolder(results, run_id)
        fault, record = folder.damage(weights=False), folder.read()
        if fault is not None:
            raise InputError(fault)
        if record is None:
            raise InputError(
                f"{results} has no record of a run {run_id!r}: name two of the folders in "
                f"{ResultsFolder(results).runs}, or two results folders"
            )
        records.append(record)
    return records


def compare_runs(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Tabulates runs, one column per run.

    Args:
        records: the records of the runs.

    Returns:
        Columns `kind`, `name`, then one per run id. Of specs and provenance, only values that
        differ are listed; metrics and costs are listed in full. Values are texts.
    """
    rows = [
        {"kind": kind, "name": name} | dict(zip(_ids(records), texts, strict=True))
        for kind, name, texts in _rows(records)
    ]
    return pd.DataFrame(rows, columns=["kind", "name", *_ids(records)])


def _ids(records: Sequence[RunRecord]) -> list[str]:
    return [record.run_id for record in records]


def _rows(records: Sequence[RunRecord]) -> Iterator[tuple[str, str, list[str]]]:
    for name in dict.fromkeys(name for record in records for name in _spec(record)):
        values = [_spec(record).get(name) for record in records]
        if any(value != values[0] for value in values):
            yield "spec", name, [_text(value) for value in values]
    yield "result", "status", [record.status for record in records]
    names = dict.fromkeys(name for record in records for name in record.metrics)
    first = {f"{split}/{record.metric}" for split in ("test", "validation") for record in records}
    for name in sorted(names, key=lambda name: (name not in first, name)):
        yield "metric", name, [_text(record.metrics.get(name)) for record in records]
    for name in dict.fromkeys(name for record in records for name in record.costs):
        yield "cost", name, [_text(record.costs.get(name)) for record in records]


def _spec(record: RunRecord) -> dict[str, Any]:
    """Flattens a spec and what made the run: hyper-parameters and budget by their own names."""
    spec = record.spec.model_dump(mode="json")
    flat = {key: value for key, value in spec.items() if not isinstance(value, dict)}
    made = {"code": record.provenance.code_version, "cpu": record.provenance.cpu}
    return flat | spec["hyperparameters"] | spec["budget"] | made


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(value if isinstance(value, str) else json.dumps(value))


def draw_compared_curves(results: Path, records: Sequence[RunRecord]) -> Path:
    """Draws the primary validation metric and the training loss of each run by epoch.

    Args:
        results: the results folder.
        records: the records of the runs.

    Returns:
        The path of the PNG file, in the folder of the report.

    Raises:
        OSError: if it cannot be written.
    """
    names = dict.fromkeys(
        name for record in records for name in (f"validation/{record.metric}", "train/loss")
    )
    drawing = Figure(figsize=(4.5 * len(names), 3.5), layout="constrained")
    for axis, name in zip(drawing.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for record in records:
            points = _points(RunFolder(results, record.run_id).metrics, name)
            axis.plot([e for e, _ in points], [v for _, v in points], ".-", label=record.run_id)
        axis.set(title=name, xlabel="epoch")
        axis.legend(fontsize="x-small")
    image = BytesIO()
    drawing.savefig(image, format="png", dpi=120)
    path = results / PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, image.getvalue())
    return path


def _points(path: Path, name: str) -> list[tuple[int, float]]:
    lines = parse_lines(path.read_bytes()) if path.exists() else ()
    points = {line["epoch"]: line["metrics"].get(name) for line in lines}
    return [(epoch, value) for epoch, value in sorted(points.items()) if value is not None]
