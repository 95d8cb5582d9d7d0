"""Implements `capsbench evaluate`: scores a finished run on test data, without training again."""

from __future__ import annotations

from pathlib import Path

from benchmarks import curves
from benchmarks.commands.cli import announced, plain_console, require_device_of
from benchmarks.commands.result_tables import print_metrics, print_record_metrics
from benchmarks.records.folders import RunFolder
from benchmarks.runs.other_data import score_on
from benchmarks.runs.restoration import evaluate
from benchmarks.runs.stored_runs import data_state, record_of, source_of


def evaluate_run(
    run_id: str, *, dataset: str | None, root: Path, results: Path, offline: bool
) -> None:
    """Scores a finished run on test data, and prints the scores.

    Args:
        run_id: the id of the run.
        dataset: the name of another dataset of the same shape; None: the run's own dataset.
        root: the folder of the datasets.
        results: the results folder that holds the run's record.
        offline: whether downloads are off. They are also off if the run used a stand-in.

    Raises:
        InputError: if the run has no record or no model, the data does not fit it, or this
            machine lacks the kind of device that computed it.
        OSError: if a file cannot be written.
    """
    record = record_of(results, run_id)
    require_device_of(record.spec)
    console = plain_console()
    source = source_of(record, root, offline=offline)
    if dataset is not None:
        with announced(f"scoring {run_id} on {dataset}"):
            scores, path = score_on(record, dataset, source=source, results=results)
        console.print(f"run {run_id}", soft_wrap=True)
        console.print(f"{scores.label}, data {scores.data.state}", soft_wrap=True)
        print_metrics(console, scores.metrics, scores.metric)
        console.print(f"stored apart from the record of the run, in {path}", soft_wrap=True)
        return
    with announced(f"scoring {run_id} on test data"):
        final = evaluate(run_id, source=source, results=results)
    scored = " (scored before)" if final.run_id == run_id else ""
    console.print(f"final {final.run_id}{scored}, data {data_state(final)}", soft_wrap=True)
    print_record_metrics(console, final)
    folder = RunFolder(results, final.run_id).path
    if not (folder / curves.FILE_NAME).exists():
        curves.draw_run_curves(folder, curves.title_of(final.spec))
    console.print(f"files in {folder}", soft_wrap=True)
