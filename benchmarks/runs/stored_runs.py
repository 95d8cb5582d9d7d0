"""Finds the runs that a user names on the command line."""

from __future__ import annotations

import difflib
from pathlib import Path

from benchmarks import own_variants
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.record import DataState, RunRecord


def record_of(results: Path, run_id: str) -> RunRecord:
    """Reads the record of a run, and registers its variant if a user's file defines it.

    Args:
        results: the results folder.
        run_id: the id of the run.

    Returns:
        The record.

    Raises:
        InputError: if there is no such record, it is not one of this version, or the file of its
            variant is missing.
    """
    record = RunFolder(results, run_id).read()
    if record is not None:
        own_variants.provide(results, record.spec.variant_sha256)
        return record
    folder = ResultsFolder(results)
    known = [run.run_id for run in folder.run_folders() if run.record.exists()]
    near = difflib.get_close_matches(run_id, known)
    hint = f"did you mean {near[0]!r}?" if near else f"name one of the folders in {folder.runs}"
    raise InputError(f"{results} has no record of a run {run_id!r}: {hint}")


def source_of(record: RunRecord, root: Path, *, offline: bool) -> DataSource:
    """Says where the data of a stored run is: a run on a stand-in gets its stand-in again.

    Args:
        record: the record of the run.
        root: the folder of the datasets.
        offline: whether downloads are off.

    Returns:
        The folder, and what may be downloaded.
    """
    rendered = record.data is not None and DataState.stand_in in record.data.states
    return DataSource(root, "none" if offline or rendered else "small")


def data_state(record: RunRecord) -> str:
    """Returns the state of a run's data in words; `none` if it failed before it had data."""
    return record.data.state if record.data else "none"
