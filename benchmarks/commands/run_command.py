"""Implements `capsbench run`, and the table of `capsbench data`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import curves, datasets
from benchmarks.commands import run_progress
from benchmarks.commands.cli import announced, chosen_device, folder_options, plain_console
from benchmarks.commands.result_tables import print_record_metrics
from benchmarks.commands.run_options import RunOptions
from benchmarks.datasets.dataset import DataSource, MissingDataError, Part
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Budget, RunSpec
from benchmarks.runs.recording import scoring_of
from benchmarks.runs.run import run
from benchmarks.runs.stored_runs import data_state, record_of
from benchmarks.runs.training_pictures import PictureChoice, TrainingPictures
from benchmarks.specs.profiles import Profile, load_profile
from benchmarks.specs.specification import Machine, specify
from benchmarks.speed import processor


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
    shown = PictureChoice(choice.pictures_every, choice.pictures_every_steps, choice.shown_samples)
    choice.log.require_login()
    source = DataSource(data, "none" if choice.offline else plan.download)
    with announced(f"reading {dataset}"):
        spec = specify(
            variant,
            dataset,
            profile=plan,
            role="final" if choice.final else "trial",
            hyperparameters=choice.hyperparameters,
            seed=choice.seed,
            budget=choice.budget,
            base=None if choice.base is None else record_of(results, choice.base).spec,
            source=source,
            machine=Machine(
                choice.threads,
                chosen_device(choice.device, choice.devices),
                choice.precision,
                deterministic=not choice.non_deterministic,
                devices=choice.devices,
            ),
            test_curve=choice.test_curve,
        )
    console = plain_console()
    console.print(f"run {spec.run_id}")
    warn_of_slow_products(console, spec)
    scoring, folder = scoring_of(spec), RunFolder(results, spec.run_id)
    before = folder.read_bytes()
    record = run(
        spec,
        source=source,
        results=results,
        callbacks=[
            *run_progress.callbacks(
                console,
                scoring.primary,
                scoring.directions[scoring.primary],
                devices=spec.devices,
            ),
            TrainingPictures(shown),
        ],
        log=choice.log,
        debug=choice.debug,
        keep=choice.keep,
    )
    known = before is not None and folder.read_bytes() == before
    if known:
        console.print("the run has a record: nothing was trained")
    _show(console, record, data, results)
    if not known or not (folder.path / curves.FILE_NAME).exists():
        curves.draw_run_curves(folder.path, curves.title_of(spec))
    return record


def _show(console: Console, record: RunRecord, data: Path, results: Path) -> None:
    if record.metrics:
        print_record_metrics(console, record)
    costs = record.costs
    console.print(
        f"{record.status}{f' ({record.reason})' if record.reason else ''}; "
        f"{_counts(costs)}{record.cost('seconds'):.1f} s, data {data_state(record)}",
        soft_wrap=True,
    )
    console.print(f"digest {record.digest[:16]}")
    folder = RunFolder(results, record.run_id)
    console.print(f"files in {folder.path}", soft_wrap=True)
    if record.traceback:
        console.print(f"its `traceback` in {folder.record} says where it failed", soft_wrap=True)
    for line in _next_commands(record, data, results):
        console.print(line, soft_wrap=True, highlight=False)


def _next_commands(record: RunRecord, data: Path, results: Path) -> Iterator[str]:
    """Yields what a user can do with a finished run, one line per command."""
    if record.complete and record.role == "trial":
        at = folder_options(data=data, results=results)
        yield f"next: `capsbench evaluate {record.run_id}{at}` scores it on test data"
    if record.complete and record.weights_sha256 is not None:
        at = folder_options(results=results)
        yield f"next: `capsbench predict {record.run_id} FILE{at}` uses it on files"


def _counts(costs: Mapping[str, Any]) -> str:
    if costs["parameters"] is None:
        return ""
    flops = costs["flops_per_sample"] or 0
    return f"{costs['parameters']:,} parameters, {flops / 1e6:,.4g} MFLOP per sample, "


def warn_of_slow_products(console: Console, spec: RunSpec) -> None:
    """Prints a warning if the processor is slow at a run's number format."""
    sentence = processor.missing_units(spec.precision, spec.device)
    if sentence is not None:
        console.print(f"warning: {sentence}", soft_wrap=True)


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
    console = plain_console()
    # In a pipe, 240 columns keep each row on one line, for grep.
    (console if console.is_terminal else plain_console(240)).print(table)


def _parts(name: str, budget: Budget, source: DataSource) -> list[Part]:
    try:
        return datasets.find(name).parts(budget=budget, source=source)
    except MissingDataError as missing:
        return [Part("both", "missing", "none", (), "", str(missing))]
