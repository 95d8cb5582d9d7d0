"""Stores the options of a sweep as `sweep.json`, and restores them. Importing this is fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import datasets, own_variants
from benchmarks.records.atomic_files import write_json
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder
from benchmarks.records.record import DataState
from sweeps.options import Device, Options
from sweeps.studies.storage_urls import without_password


def save_options(choice: Options, results: Path) -> None:
    """Writes the options to `sweep.json`, without a password in the URL of the storage.

    Args:
        choice: the options.
        results: the results folder.

    Raises:
        OSError: if the file cannot be written.
    """
    kept = choice.model_dump(mode="json")
    if choice.storage is not None:
        kept["storage"] = without_password(choice.storage)
    write_json(ResultsFolder(results).options, {"options": kept})


def load_options(results: Path) -> Options:
    """Reads the options of the last sweep in a results folder.

    Args:
        results: the results folder.

    Returns:
        The options.

    Raises:
        InputError: if the folder has no sweep, or its `sweep.json` is damaged.
    """
    path = ResultsFolder(results).options
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        kept = dict(content["options"])
        kept.pop("added", None)  # earlier versions wrote it; now the ledgers have the plan
        if "seeds" in kept:  # the name that earlier versions gave to `finals`
            kept["finals"] = kept.pop("seeds")
        return Options.model_validate(kept)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{results} has no sweep to resume: begin one with `capsbench sweep`, or name its "
            "folder with --results"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} does not hold a sweep's options ({' '.join(str(error).split())}): call "
            "`capsbench sweep` with the options of the sweep, which rewrites the file"
        ) from None


def restore_options(results: Path) -> Options:
    """Reads the options of a results folder, and registers the user's own variants and datasets.

    Args:
        results: the results folder of a sweep.

    Returns:
        The options.

    Raises:
        InputError: if the folder has no sweep, or a file of a variant is missing or changed.
    """
    choice = load_options(results)
    datasets.use_folder(choice.data)
    for sha256 in choice.variants.values():
        own_variants.provide(results, sha256)
    return choice


def require_data(choice: Options, results: Path) -> None:
    """Checks that the folder of the datasets exists, if a cell was begun with data from files.

    Args:
        choice: the options of the results folder.
        results: the results folder.

    Raises:
        InputError: if the folder does not exist and a cell needs it.
    """
    files = {DataState.official, DataState.unofficial, DataState.partial}
    ledgers = () if choice.data.is_dir() else ResultsFolder(results).ledgers()
    for cell in ledgers:
        if files.intersection(DataState.named_in(cell.data)):
            raise InputError(
                f"{choice.data}, the folder of the datasets of this sweep, does not exist, and "
                f"{cell.study} was begun with {cell.data} data: name the folder with --data"
            )


def is_finished(choice: Options, results: Path) -> bool:
    """Returns whether the last sweep of a results folder had these options and has finished.

    The answer follows from the ledgers; records that were deleted since are not noticed.

    Args:
        choice: the options.
        results: the results folder.
    """
    try:
        cells = ResultsFolder(results).ledgers()
        last = load_options(results)
        if choice.device is Device.auto:
            choice = choice.model_copy(update={"device": last.device})
        return last == choice and not any(cell.left for cell in cells)
    except InputError:
        return False
