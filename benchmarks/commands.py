"""Implements the commands of `python -m benchmarks`: make a run, reproduce a run, show the data."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from benchmarks import curves, datasets, processor, run_progress
from benchmarks.cli import require_gpu
from benchmarks.datasets.dataset import DataSource, MissingDataError, Part
from benchmarks.profiles import Profile, load_profile
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import DataState, RunRecord
from benchmarks.records.spec import Budget, Precision, RunSpec
from benchmarks.run_options import RunOptions
from benchmarks.runs.recording import scoring_of
from benchmarks.runs.run import run
from benchmarks.specification import Machine, specify


def make_run(
    variant: str, dataset: str, choice: RunOptions, *, data: Path, results: Path
) -> RunRecord:
    """Makes one run, prints its metrics, and draws their curves.

    Args:
        variant: its name.
        dataset: its name.
        choice: the options of the run.
        data: the folder of the datasets.
        results: the results folder.

    Returns:
        The record of the run.

    Raises:
        InputError: if the options make no valid spec, or the base has no record.
    """
    plan = load_profile(choice.profile)
    source = DataSource(data, "none" if choice.offline else plan.download)
    spec = specify(
        variant,
        dataset,
        profile=plan,
        role="final" if choice.final else "trial",
        hyperparameters=choice.hyperparameters,
        seed=choice.seed,
        budget=choice.budget,
        base=None if choice.base is None else _record(results, choice.base).spec,
        source=source,
        machine=Machine(
            choice.threads,
            choice.device,
            cast(Precision, choice.precision),
            deterministic=not choice.non_deterministic,
        ),
    )
    if spec.device == "cuda":
        require_gpu()
    choice.log.require_login()
    console = Console()
    console.print(f"run {spec.run_id}")
    _warn_of_slow_products(console, spec)
    record = run(
        spec,
        source=source,
        results=results,
        callbacks=run_progress.callbacks(console, scoring_of(spec).primary),
        log=choice.log,
        debug=choice.debug,
    )
    _show(console, record, results)
    home = RunFolder(results, record.run_id).path
    if not (home / curves.FILE_NAME).exists():
        curves.draw_curves(home, f"{variant} on {dataset}, seed {spec.seed}")
    return record


def _record(results: Path, run_id: str) -> RunRecord:
    """Reads the record of a run. Raises InputError if there is none."""
    record = RunFolder(results, run_id).read()
    if record is None:
        raise InputError(
            f"{results} has no record of a run {run_id!r}: name one of the folders in "
            f"{results / 'runs'}"
        )
    return record


def _show(console: Console, record: RunRecord, results: Path) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("metric", "value"):
        table.add_column(heading)
    for name, value in record.metrics.items():
        table.add_row(name, f"{value:.6g}")
    for name, reason in record.absent.items():
        table.add_row(name, f"n/a: {reason}")
    console.print(table)
    costs = record.costs
    console.print(
        f"{record.status}{f' ({record.reason})' if record.reason else ''}; "
        f"{_counts(costs)}{record.cost('seconds'):.1f} s, "
        f"data {_data_state(record)}, digest {record.digest[:16]}",
        soft_wrap=True,
    )
    console.print(f"files in {RunFolder(results, record.run_id).path}", soft_wrap=True)


def _data_state(record: RunRecord) -> str:
    return record.data.state if record.data else "none"


def _counts(costs: Mapping[str, Any]) -> str:
    if costs["parameters"] is None:
        return ""
    flops = costs["flops_per_sample"] or 0
    return f"{costs['parameters']:,} parameters, {flops / 1e6:,.4g} MFLOP per sample, "


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
        InputError: if the run has no record.
    """
    record = _record(results, run_id)
    stop = None
    if record.status == "pruned":

        def stop(scores: list[float]) -> bool:
            return len(scores) == record.epochs

    rendered = record.data is not None and DataState.stand_in in record.data.states
    console = Console()
    _warn_of_slow_products(console, record.spec)
    with tempfile.TemporaryDirectory() as scratch:
        again = run(
            record.spec,
            source=DataSource(root, "none" if offline or rendered else "small"),
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
    for name in ("code_version", "versions", "cpu", "gpu"):
        was, now = getattr(record.provenance, name), getattr(again.provenance, name)
        if was != now:
            console.print(f"  {name} was {was}, is {now}", soft_wrap=True)
    return False


def _warn_of_slow_products(console: Console, spec: RunSpec) -> None:
    """Prints a warning if the processor is slow at a run's number format."""
    sentence = processor.missing_units(spec.precision, spec.device)
    if sentence is not None:
        console.print(f"warning: {sentence}", soft_wrap=True)


def _first_line(kept: Path, made: Path) -> str | None:
    """Describes the first difference of two `metrics.jsonl`.

    Args:
        kept: the file of the original run.
        made: the file of the reproduced run.

    Returns:
        Epoch, metric and both values; None if there is no difference or no original file.
    """
    if not kept.exists():
        return None
    for was, now in zip(kept.open(), made.open(), strict=False):
        one, two = json.loads(was), json.loads(now)
        for name, value in one["metrics"].items():
            if two["metrics"].get(name) != value:
                return f"epoch {one['epoch']}, {name}: was {value}, is {two['metrics'].get(name)}"
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


def show_data(profile: Profile, *, root: Path, offline: bool) -> None:
    """Prints a table of the datasets that are columns of tables, with one row per part.

    The user's own datasets in the data folder are among them.

    Args:
        profile: says what may be downloaded, and how large stand-ins are.
        root: the folder of the datasets.
        offline: whether downloads are off.

    Raises:
        InputError: if a file cannot be read.
    """
    budget = profile.budgets["classification"]
    source = DataSource(root, "none" if offline else profile.download)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("dataset", "part", "state", "samples", "shape", "sha256", "where"):
        table.add_column(heading, overflow="fold")
    for name in (*datasets.names(), *datasets.own_names()):
        for part in _parts(name, budget, source):
            shape = " × ".join(map(str, part.shape))
            table.add_row(name, part.part, part.state, part.samples, shape, part.sha256, part.path)
    console = Console()
    # In a pipe, 240 columns keep each row on one line, for grep.
    (console if console.is_terminal else Console(width=240)).print(table)


def _parts(name: str, budget: Budget, source: DataSource) -> list[Part]:
    try:
        return datasets.find(name).parts(budget=budget, source=source)
    except MissingDataError as missing:
        return [Part("both", "missing", "none", (), "", str(missing))]
