"""Merges exported archives of several people or machines into one results folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.records.archive import is_data, unpack
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.record import RunRecord


@dataclass
class Merged:
    """Collects the runs and ledgers of all sources, and why some are left out."""

    runs: dict[str, tuple[RunFolder, RunRecord]] = field(default_factory=dict)
    """By run id, the folder that the run is copied from, and its record."""
    cells: dict[str, CellLedger] = field(default_factory=dict)
    """Ledgers by study."""
    refused: list[str] = field(default_factory=list)
    """One sentence for each run or cell that is left out."""


def merge_sources(sources: Sequence[Path], results: Path) -> Merged:
    """Merges archives and results folders into a new results folder.

    The digest of each run is recomputed from its record and metrics. A run in two sources must be
    bit-equal in both. A cell in two sources must have the same best trial in both; the merged cell
    then has the finals of both.

    Args:
        sources: archives of `capsbench export`, or results folders. They are not changed.
        results: the new results folder, which must not exist or must be empty. It is written
            completely or not at all.

    Returns:
        The merged runs and ledgers, and one sentence for each run or cell that is left out.

    Raises:
        InputError: if a source is neither an archive nor a results folder, if `results` is not
            empty, or if no run remains.
        OSError: if the folder cannot be written.
    """
    if results.exists() and (not results.is_dir() or any(results.iterdir())):
        raise InputError(
            f"{results} is not empty: give a new folder, and add the old one to the sources"
        )
    results.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=results.absolute().parent, prefix=".merge-") as scratch:
        merged = Merged()
        for number, source in enumerate(sources):
            folder = _opened(source, Path(scratch) / str(number))
            refused = _add_runs(merged, folder, source)
            _add_cells(merged, folder, source, refused)
        if not merged.runs:
            reasons = "".join(f"\n  {sentence}" for sentence in merged.refused)
            raise InputError(f"nothing is left to merge:{reasons or ' the sources have no run'}")
        _write(merged, Path(scratch) / "merged")
        if results.exists():
            results.rmdir()
        (Path(scratch) / "merged").rename(results)
    return merged


def _opened(source: Path, scratch: Path) -> ResultsFolder:
    """Returns the results folder of a source; unpacks an archive into `scratch`."""
    if source.is_dir():
        if not (source / "runs").is_dir():
            raise InputError(f"{source} holds no runs: name a results folder or an archive")
        return ResultsFolder(source)
    scratch.mkdir()
    unpack(source, scratch)
    return ResultsFolder(scratch)


def _add_runs(merged: Merged, folder: ResultsFolder, source: Path) -> set[str]:
    """Adds the finished runs of one source, and returns the ids of the runs that are left out."""
    refused = set()
    for run in folder.run_folders():
        try:
            fault, record = run.damage(weights=False), run.read()
        except InputError as error:
            fault, record = str(error), None
        if fault is None and record is None:
            continue  # the run has not ended
        if fault is None and record is not None:
            _, known = merged.runs.setdefault(record.run_id, (run, record))
            if known.digest == record.digest:
                continue
            fault = (
                f"run {record.run_id} has the digest {record.digest[:16]} here and "
                f"{known.digest[:16]} in an earlier source: code, libraries or processor differed; "
                "merge the sources into two folders, and use `capsbench compare`"
            )
        refused.add(run.run_id)
        merged.refused.append(f"{source}: {fault}")
    return refused


def _add_cells(merged: Merged, folder: ResultsFolder, source: Path, refused: set[str]) -> None:
    """Adds the ledgers of one source, without the runs that are left out."""
    for path in sorted(folder.cells.glob("*.json")):
        try:
            ledger = CellLedger.read(path)
            if ledger.best in refused:
                raise InputError(
                    f"cell {ledger.study} is left out, because its best trial is left out"
                )
            known = merged.cells.get(ledger.study)
            ledger = _without(ledger, refused)
            merged.cells[ledger.study] = _united(known, ledger, merged.runs) if known else ledger
        except InputError as error:
            merged.refused.append(f"{source}: {error}")


def _without(ledger: CellLedger, refused: set[str]) -> CellLedger:
    lists = {"trials": ledger.trials, "finals": ledger.finals, "bases": ledger.bases}
    kept = {
        name: [run_id for run_id in ids if run_id not in refused] for name, ids in lists.items()
    }
    return ledger.model_copy(update=kept)


def _united(
    one: CellLedger, two: CellLedger, runs: dict[str, tuple[RunFolder, RunRecord]]
) -> CellLedger:
    """Merges two ledgers of one cell, whose finals must have the same hyper-parameters and budget.

    Raises:
        InputError: if their best trials, hyper-parameters or budgets differ.
    """
    specs = [runs[run_id][1].spec for run_id in (*one.finals, *two.finals)]
    models = [(spec.hyperparameters, spec.budget) for spec in specs]
    if one.best != two.best or any(model != models[0] for model in models):
        raise InputError(
            f"cell {one.study} is left out, because its best trial or the hyper-parameters of its "
            "finals differ from those of an earlier source: merge it into a folder of its own"
        )
    longer = max(one, two, key=lambda ledger: len(ledger.trials))
    finals = sorted({*one.finals, *two.finals})
    planned = longer.planned.model_copy(
        update={"finals": max(one.planned.finals, two.planned.finals, len(finals))}
    )
    return longer.model_copy(
        update={
            "planned": planned,
            "finals": finals,
            "bases": sorted({*one.bases, *two.bases}),
            "left": planned.finals - len(finals),
        }
    )


def _write(merged: Merged, target: Path) -> None:
    folder = ResultsFolder(target)
    for run, _ in merged.runs.values():
        copy = RunFolder(target, run.run_id).path
        copy.mkdir(parents=True)
        for path in sorted(run.path.iterdir()):
            if is_data(path.relative_to(run.path.parents[1])) and not path.is_symlink():
                shutil.copyfile(path, copy / path.name)
    for ledger in merged.cells.values():
        ledger.write(folder.ledger(ledger.study))
