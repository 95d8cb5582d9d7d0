"""Finds and reads the files of a results folder and of a run's folder."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue, ValidationError

from benchmarks.records.atomic_files import sha256_of
from benchmarks.records.errors import InputError, first_fault, printable
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RUN_ID, RunSpec

RECORD, METRICS = "record.json", "metrics.jsonl"
"""The names of two files in the folder of a run."""


class ResultsFolder:
    """Finds and reads the files of a results folder, of a sweep or of single runs.

    Args:
        root: the path of the results folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def runs(self) -> Path:
        """Returns the path of the folder that has one folder per run."""
        return self.root / "runs"

    @property
    def cells(self) -> Path:
        """Returns the path of the folder that has one ledger per cell."""
        return self.root / "cells"

    @property
    def variants(self) -> Path:
        """Returns the path of the folder that has the files of users' own variants."""
        return self.root / "variants"

    @property
    def options(self) -> Path:
        """Returns the path of the options of the sweep."""
        return self.root / "sweep.json"

    def ledger(self, study: str) -> Path:
        """Returns the path of a cell's ledger.

        Args:
            study: the name of the cell's study.
        """
        return self.cells / f"{study}.json"

    def ledgers(self) -> list[CellLedger]:
        """Reads the ledgers of all cells.

        Returns:
            The ledgers in the order of their file names; none if there is no folder of cells.

        Raises:
            InputError: if a ledger is damaged, misnamed or of another version.
        """
        return [CellLedger.read(path) for path in sorted(self.cells.glob("*.json"))]

    def run_folders(self) -> list[RunFolder]:
        """Lists the folders of all runs, sorted by run id; a run that has not ended has no record.

        Other files in the folder of the runs are left out.
        """
        try:
            with os.scandir(self.runs) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []
        return [RunFolder(self.root, name) for name in names]

    def unfinished_runs(self) -> Iterator[str]:
        """Yields the ids of runs that have metrics and no record: running or interrupted runs."""
        for run in self.run_folders():
            if run.metrics.exists() and not run.record.exists():
                yield run.run_id


def parse_lines(content: bytes) -> list[Any]:
    """Parses lines of JSON in one call, which takes half the time of one call per line.

    Args:
        content: one JSON value per line.

    Returns:
        The values.

    Raises:
        ValueError: if a line is not one JSON value.
    """
    lines = content.splitlines()
    values: list[Any] = json.loads(b"[%s]" % b",".join(lines))
    if len(values) != len(lines):
        raise ValueError("a line has several values")
    return values


class _Spec(BaseModel):
    """Holds what specs of all versions have."""

    hyperparameters: dict[str, JsonValue]


class _Record(BaseModel):
    """Holds what records of all versions have."""

    spec: _Spec


class RunFolder:
    """Finds and reads the files of one run.

    Args:
        results: the path of the results folder.
        run_id: the id of the run, which is the name of its folder; it is not checked.
    """

    def __init__(self, results: Path, run_id: str) -> None:
        self.run_id = run_id
        self.path = results / "runs" / run_id

    @property
    def record(self) -> Path:
        """Returns the path of the record, which a run writes last."""
        return self.path / RECORD

    @property
    def metrics(self) -> Path:
        """Returns the path of the metrics, with one line of JSON per epoch."""
        return self.path / METRICS

    @property
    def weights(self) -> Path:
        """Returns the path of the trained weights."""
        return self.path / "weights.safetensors"

    @property
    def results(self) -> Path:
        """Returns the path of the results folder."""
        return self.path.parents[1]

    def sibling(self, run_id: str) -> RunFolder:
        """Returns the folder of another run in the same results folder.

        Args:
            run_id: the id of the other run.
        """
        return RunFolder(self.results, run_id)

    def read_bytes(self) -> bytes | None:
        """Reads the record without parsing it.

        Returns:
            The bytes of `record.json`; None if it does not exist or the name of the folder cannot
            be a run id.
        """
        if not RUN_ID.fullmatch(self.run_id):
            return None
        try:
            return self.record.read_bytes()
        except FileNotFoundError:
            return None

    def parse(self, content: bytes, *, checked: bool = False) -> RunRecord:
        """Parses and validates a record of this run.

        Args:
            content: the bytes of `record.json`.
            checked: whether `damage` found none in these bytes, so that the record is known to
                belong to this run.

        Returns:
            The record.

        Raises:
            InputError: if the bytes are not a record of this version, or the record belongs to
                another run.
        """
        try:
            record = RunRecord.model_validate_json(content, strict=True)
        except ValidationError as error:
            raise InputError(
                f"{self.record} is not a record of this version ({first_fault(error)}): remove the "
                "run's folder to re-run the run, or use the version that wrote the record"
            ) from None
        if checked:
            return record
        if (other := self._other_run(record.run_id, record.spec)) is not None:
            raise InputError(f"{other}: remove the folder to re-run the run")
        return record

    def read(self) -> RunRecord | None:
        """Reads and validates the record.

        Returns:
            The record; None if `record.json` does not exist or the name of the folder cannot be a
            run id.

        Raises:
            InputError: if the file is not a record of this version, or the record belongs to
                another run.
        """
        content = self.read_bytes()
        return None if content is None else self.parse(content)

    def hyperparameters(self) -> dict[str, JsonValue] | None:
        """Reads the hyper-parameters of the run, also from the record of an earlier version.

        Returns:
            The values by name; None if there is no record, or they cannot be read from it.
        """
        try:
            record = _Record.model_validate_json(self.read_bytes() or b"")
        except (OSError, ValidationError):
            return None
        return record.spec.hyperparameters

    def damage(self, *, weights: bool = True) -> str | None:
        """Checks whether the files of the run are those that the run wrote.

        The record must be JSON, match its seal, and be the record of this run; `metrics.jsonl` must
        match the record's digest, and the weights, if they are there, the record's hash of them.
        No file is changed.

        Args:
            weights: whether the weights are checked too; large ones take time.

        Returns:
            The damaged file and the damage, in one phrase. None if there is no damage, no record,
            or a record of another version, which `read` reports.
        """
        try:
            stored: Any = json.loads(self.record.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            return f"{self.record} is not JSON"
        try:
            return self._fault(stored, weights=weights)
        except (KeyError, TypeError):
            return None  # `read` says which field is wrong

    def _fault(self, stored: Any, *, weights: bool) -> str | None:
        """Describes the damage of the run's files.

        Raises:
            KeyError, TypeError: if a field of the record is missing or has another type, although
                the record is not damaged: it is of another version.
        """
        if not isinstance(stored, dict) or not stored.keys() & RunRecord.model_fields.keys():
            return f"{self.record} is not a record"
        seal = stored.get("seal")
        if seal is not None and seal != RunRecord.seal_of(stored):
            return f"{self.record} is damaged (its content does not match its seal)"
        with suppress(ValidationError):  # `read` says which field is wrong
            spec = RunSpec.model_validate(stored["spec"])
            if (other := self._other_run(stored["run_id"], spec)) is not None:
                return other
        try:
            digest = RunRecord.digest_of(stored, self._metrics_lines())
        except (ValueError, RecursionError):
            return f"{self.metrics} is damaged"
        if digest != stored["digest"]:
            return f"{self.metrics} is damaged"
        written = stored.get("weights_file_sha256")
        if weights and written and self.weights.exists() and sha256_of(self.weights) != written:
            return f"{self.weights} is damaged"
        return None

    def _metrics_lines(self) -> list[Any]:
        """Parses the lines of the metrics; none if there is no file.

        Raises:
            ValueError: if the file is not one JSON value per line.
        """
        return parse_lines(self.metrics.read_bytes()) if self.metrics.exists() else []

    def content_hash(self, record: bytes) -> str:
        """Computes a hash of the run's id, and of the record and the metrics as they are stored.

        Args:
            record: the bytes of the record.

        Returns:
            64 hexadecimal digits.
        """
        try:
            metrics = self.metrics.read_bytes()
        except FileNotFoundError:
            metrics = b""
        parts = self.run_id.encode(), record, metrics
        return hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()

    def _other_run(self, run_id: object, spec: RunSpec) -> str | None:
        """Says, in one phrase, that a record belongs to another run; None if it is of this run."""
        for field, other in {"run_id": run_id, "spec": spec.run_id}.items():
            if other != self.run_id:
                return (
                    f"{self.record} belongs to another run than its folder names (its {field} says "
                    f"{printable(str(other))})"
                )
        return None

    def read_undamaged(self, *, weights: bool = True) -> RunRecord | None:
        """Reads the record if the files of the run are undamaged, so that a damaged run is re-run.

        If they are damaged, the record is renamed to `record.unused`, and a line on stderr says so.

        Args:
            weights: whether the weights are checked too; large ones take time.

        Returns:
            The record; None if there is none or it is damaged.

        Raises:
            InputError: if the file is not a record of this version.
        """
        fault = self.damage(weights=weights)
        if fault is None:
            return self.read()
        self.set_aside(f"{fault}: the run is re-run", "record.unused")
        return None

    def set_aside(self, reason: str, name: str) -> None:
        """Renames the record, so that its run is re-run, and prints the reason on stderr.

        Args:
            reason: why the run is re-run, as the first part of a sentence.
            name: the new name of the record, in the folder of the run.
        """
        self.record.replace(self.path / name)
        print(
            f"capsbench: {reason}, and the old record is kept as {name}",
            file=sys.stderr,
        )

    def finished_epochs(self) -> tuple[int, dict[str, float]]:
        """Reads how far a run has trained.

        Returns:
            The number of finished epochs, and the metrics of the last one by name; 0 and no
            metrics if no epoch has ended or the file cannot be read.
        """
        try:
            last = json.loads(self.metrics.read_text().splitlines()[-1])
            return last["epoch"], last["metrics"]
        except (OSError, IndexError, ValueError, KeyError):
            return 0, {}
