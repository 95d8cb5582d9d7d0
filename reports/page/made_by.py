"""Says what made the results: dates, version, commit, machine and budget."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from reports.formats import one_line
from reports.results import Results

MOST = 3
"""Different values of a fact that are named; of more, the number is said."""


def made_by(results: Results) -> list[tuple[str, str]]:
    """Lists facts on what made the finished runs, as pairs of a name and words."""
    runs = results.every_run
    facts = [run.provenance for run in runs]
    devices = {
        f"{one.cpu}, {one.gpu or 'no GPU'}, {one.platform.partition('-')[0]}, {_threads(run)}"
        for one, run in zip(facts, runs, strict=True)
    }
    versions = {f"capsbench {one.version or 'older than 0.2'}" for one in facts}
    torch = {f"torch {v}" for one in facts if (v := one.versions.get("torch"))}
    return [
        ("runs made", _dates(results)),
        ("version", ", ".join(filter(None, (_values(versions), _values(torch))))),
        ("commit", _values(one.commit or "unknown" for one in facts)),
        ("code hash", _values(one.code_version for one in facts)),
        ("machine", _values(devices)),
        ("budget", _budget(results)),
        ("results", _counts(results)),
    ]


def _threads(run: RunRecord) -> str:
    return f"{run.spec.threads} thread{'' if run.spec.threads == 1 else 's'} per run"


def _values(values: Iterable[str]) -> str:
    found = sorted({one_line(value) for value in values})
    return "; ".join(found) if len(found) <= MOST else f"{len(found)} different ones"


def _dates(results: Results) -> str:
    """Returns the first and the last day of the finals, such as `2026-11-27 to 2026-11-28`.

    The trials are many more, and are from the same days. Without a final, all runs count.
    """
    finals = [run for cell in results.cells for run in cell.finals]
    days = sorted({day for run in finals or results.every_run if (day := _day(results, run))})
    if not days:
        return "unknown"
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _day(results: Results, run: RunRecord) -> str:
    """Returns the day on which a run started, or else on which its record was written.

    Records have no date, since equal specs give equal records. The name of the run's Weights &
    Biases folder has the start. Without such a folder, the date of the record's file counts, which
    becomes that of the copy where a folder was copied without its dates.
    """
    folder = RunFolder(results.root, run.run_id)
    names = sorted(path.name for path in folder.path.glob("wandb/*run-*"))
    for name in names:
        if match := re.search(r"run-(\d{4})(\d\d)(\d\d)_", name):
            return "-".join(match.groups())
    try:
        written = folder.record.stat().st_mtime
    except OSError:  # it was deleted meanwhile
        return ""
    return datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d")


def _budget(results: Results) -> str:
    """Says how much the finals and searches of each profile spent."""
    found = []
    for profile in sorted({cell.profile for cell in results.cells}):
        cells = [cell for cell in results.cells if cell.profile == profile]
        finals = [run for cell in cells for run in cell.finals]
        parts = (
            _range((run.epochs for run in finals), "epochs"),
            _range((run.samples.train for run in finals if run.samples), "training samples"),
            _range((cell.ledger.states.finished for cell in cells), "trials per cell"),
            _range((len(cell.scored) for cell in cells), "seeds"),
        )
        found.append(f"profile {one_line(profile)}: {', '.join(filter(None, parts))}")
    return "; ".join(found) or "single runs alone"


def _range(amounts: Iterable[int], words: str) -> str:
    found = sorted(set(amounts))
    if not found:
        return ""
    low, high = found[0], found[-1]
    return f"{low:,} {words}" if low == high else f"{low:,} to {high:,} {words}"


def _counts(results: Results) -> str:
    runs = results.runs
    done = sum(cell.progress == "done" for cell in results.cells)
    failed = sum(run.status == "failed" for run in runs)
    saved = sum(cell.ledger.epochs.saved for cell in results.cells)
    parts = (
        f"{len(results.cells)} cells, {'all' if done == len(results.cells) else done} done",
        f"{len(runs)} runs, {failed} failed",
        f"{saved:,} epochs saved by pruning" if saved else "",
        f"{len(results.single)} single runs" if results.single else "",
    )
    return "; ".join(filter(None, parts))
