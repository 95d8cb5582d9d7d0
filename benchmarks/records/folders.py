"""Where a results folder keeps what, and how it is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.records.errors import InputError, first_fault, printable
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RUN_ID


class ResultsFolder:
    """The folder of a sweep, or of single runs.

    Args:
        root: its path; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def runs(self) -> Path:
        """The folder that has one folder per run."""
        return self.root / "runs"

    @property
    def cells(self) -> Path:
        """The folder that has one ledger per cell."""
        return self.root / "cells"

    def ledger(self, study: str) -> Path:
        """Returns the path of the ledger of a cell, by the name of its study."""
        return self.cells / f"{study}.json"

    def ledgers(self) -> list[CellLedger]:
        """Reads the ledgers of all cells, in the order of their names.

        Raises:
            InputError: if one cannot be read.
        """
        return [CellLedger.read(path) for path in sorted(self.cells.glob("*.json"))]

    def unfinished_runs(self) -> Iterator[str]:
        """Yields the ids of runs that have begun and not ended: at work, or interrupted."""
        for path in self.runs.glob("*"):
            run = RunFolder(self.root, path.name)
            if run.metrics.exists() and not run.record.exists():
                yield path.name


class RunFolder:
    """The folder of one run.

    Args:
        results: the results folder.
        run_id: names the run's folder; not checked.
    """

    def __init__(self, results: Path, run_id: str) -> None:
        self.run_id = run_id
        self.path = results / "runs" / run_id

    @property
    def record(self) -> Path:
        """The file of the record, which a run writes last."""
        return self.path / "record.json"

    @property
    def metrics(self) -> Path:
        """The file of the metrics, one JSON line per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def weights(self) -> Path:
        """The file of the trained weights."""
        return self.path / "weights.safetensors"

    def sibling(self, run_id: str) -> RunFolder:
        """Returns the folder of another run in the same results folder."""
        return RunFolder(self.path.parents[1], run_id)

    def read_bytes(self) -> bytes | None:
        """Reads the bytes of the record.

        Returns:
            None if no run of this name has ended, or the name cannot be a run id.
        """
        if not RUN_ID.fullmatch(self.run_id):
            return None
        try:
            return self.record.read_bytes()
        except FileNotFoundError:
            return None

    def parse(self, content: bytes) -> RunRecord:
        """Makes a record of its bytes, and checks its shape and whose it is.

        Raises:
            InputError: if it is not a record of this version, or is another run's.
        """
        try:
            record = RunRecord.model_validate_json(content, strict=True)
        except ValidationError as error:
            raise InputError(
                f"{self.record} is not a record of this version ({first_fault(error)}): remove "
                "that run's folder to re-run it, or read it with the version that wrote it"
            ) from None
        for field, run_id in {"run_id": record.run_id, "spec": record.spec.run_id}.items():
            if run_id != self.run_id:
                raise InputError(
                    f"{self.record} is not of the run that its folder names ({field}: that of "
                    f"{printable(run_id)}): remove that folder to re-run the run"
                )
        return record

    def read(self) -> RunRecord | None:
        """Reads the record, and checks its shape and whose it is.

        Returns:
            None if no run of this name has ended, or the name cannot be a run id.

        Raises:
            InputError: if the record is not one of this version, or is another run's.
        """
        content = self.read_bytes()
        return None if content is None else self.parse(content)

    def damage(self) -> str | None:
        """Says what is damaged: the record is cut, or is not of the metrics beside it.

        It changes nothing.

        Returns:
            The name of the damaged file and the damage; None where the run has no record, or its
            files are whole.
        """
        try:
            stored: Any = json.loads(self.record.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            return f"{self.record} is not JSON"
        try:
            lines = self.metrics.read_bytes().splitlines() if self.metrics.exists() else []
            digest = RunRecord.digest_of(stored, [json.loads(line) for line in lines])
            whole = digest == stored["digest"]
        except (ValueError, RecursionError):
            whole = False
        except (KeyError, TypeError):
            return None  # `read` says what is wrong with it
        return None if whole else f"{self.metrics} is damaged"

    def read_undamaged(self) -> RunRecord | None:
        """Reads the record of a run whose files are whole.

        A damaged record is set aside as `record.unused` and a line on stderr says so, since its run
        is re-run.

        Returns:
            None if the run has no record, or a damaged one.

        Raises:
            InputError: if the record is whole, and is not one of this version.
        """
        fault = self.damage()
        if fault is None:
            return self.read()
        self._set_aside(fault)
        return None

    def _set_aside(self, fault: str) -> None:
        """Renames the record to `record.unused`, and prints why on stderr."""
        self.record.replace(self.path / "record.unused")
        print(
            f"capsbench: {fault}: the run is re-run, and its record is kept as record.unused",
            file=sys.stderr,
        )

    def finished_epochs(self) -> tuple[int, dict[str, float]]:
        """Counts the epochs of a run so far, and reads the metrics of the last one."""
        try:
            last = json.loads(self.metrics.read_text().splitlines()[-1])
            return last["epoch"], last["metrics"]
        except (OSError, IndexError, ValueError, KeyError):
            return 0, {}
