"""Re-runs finished runs, and compares the results bit by bit."""

from __future__ import annotations

import math
import random
import tempfile
from pathlib import Path

from benchmarks.commands.cli import announced, plain_console, require_device_of
from benchmarks.commands.run_command import warn_of_slow_products
from benchmarks.records.archive import unpack
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder, parse_lines
from benchmarks.records.record import RunRecord, changes
from benchmarks.runs.run import run
from benchmarks.runs.stored_runs import record_of, source_of


def reproduce_run(run_id: str, *, root: Path, results: Path, offline: bool) -> bool:
    """Re-runs a run in a temporary folder, and prints whether both results are bit-equal.

    Args:
        run_id: the id of the run.
        root: the folder of the datasets.
        results: the results folder that holds the run's record; it is not changed.
        offline: whether downloads are off. They are also off if the run used a stand-in.

    Returns:
        Whether the digests of both records and both `metrics.jsonl` are equal.

    Raises:
        InputError: if the run has no record, or this machine lacks the kind of device that computed
            it.
    """
    record = record_of(results, run_id)
    require_device_of(record.spec)
    stop = None
    if record.status == "pruned":

        def stop(scores: list[float]) -> bool:
            return len(scores) == record.epochs

    console = plain_console()
    warn_of_slow_products(console, record.spec)
    with tempfile.TemporaryDirectory() as scratch, announced(f"re-running {run_id}"):
        again = run(
            record.spec,
            source=source_of(record, root, offline=offline),
            results=Path(scratch),
            study=record.study,
            stop=stop,
        )
        difference = _first_line(
            RunFolder(results, run_id).metrics,
            RunFolder(Path(scratch), run_id).metrics,
        ) or _difference(record, again)
    if difference is None and again.digest == record.digest:
        console.print(f"{run_id}: bit-equal (digest {record.digest[:16]})")
        return True
    console.print(f"{run_id}: differs: {difference or 'the digests'}", soft_wrap=True)
    if not record.spec.deterministic:
        console.print("  the run is non-deterministic: equal specs may give different results")
    changed = changes(_conditions(record), _conditions(again))
    console.print(f"  conditions: {changed or 'equal'}", soft_wrap=True)
    return False


def _conditions(record: RunRecord) -> dict[str, str | None]:
    """Lists what decided the bits of a run, and the processor's name, for people."""
    made_by = record.provenance
    return {**made_by.conditions(record.spec.device), "cpu": made_by.cpu}


def reproduce_sample(source: Path, count: int, *, root: Path, offline: bool) -> bool:
    """Re-runs some runs of an archive or a results folder, chosen at random.

    Failed runs are not chosen.

    Args:
        source: an archive of `capsbench export`, or a results folder.
        count: how many runs; all, if there are fewer.
        root: the folder of the datasets.
        offline: whether downloads are off.

    Returns:
        Whether all of them are bit-equal.

    Raises:
        InputError: if there is no such archive, or it has no run that has ended well.
    """
    with tempfile.TemporaryDirectory() as scratch:
        results = source
        if not source.is_dir():
            unpack(source, results := Path(scratch))
        records = [run.read() for run in ResultsFolder(results).run_folders()]
        names = [record.run_id for record in records if record and record.status != "failed"]
        if not names:
            raise InputError(f"{source} has no finished run: name an archive or a results folder")
        chosen = sorted(random.sample(names, min(count, len(names))))
        equal = sum(
            reproduce_run(run_id, root=root, results=results, offline=offline) for run_id in chosen
        )
    plain_console().print(
        f"{equal} of {len(chosen)} runs bit-equal, chosen at random from {len(names)}"
    )
    return equal == len(chosen)


def _first_line(kept: Path, made: Path) -> str | None:
    """Describes the first difference of two `metrics.jsonl`.

    Args:
        kept: the file of the original run.
        made: the file of the reproduced run.

    Returns:
        Epoch, metric and both values; None if there is no difference or one file does not exist.
    """
    if not (kept.exists() and made.exists()):
        return None
    lines = (parse_lines(path.read_bytes()) for path in (kept, made))
    for was, now in zip(*lines, strict=False):
        for name, value in was["metrics"].items():
            if (found := now["metrics"].get(name)) != value:
                return f"epoch {was['epoch']}, {name}: was {value}, is {found}"
    return None


def _difference(record: RunRecord, again: RunRecord) -> str | None:
    if record.status != again.status:
        return f"status: was {record.status}, is {again.status} ({again.reason})"
    for name, value in record.metrics.items():
        now = again.metrics.get(name, math.nan)
        if now != value and name.startswith("test/"):
            return f"{name}: was {value}, is {now}"
    if record.weights_sha256 != again.weights_sha256:
        return "the weights"
    return None
