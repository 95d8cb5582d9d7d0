"""Restores the trained model of a finished run, and scores the model on test data.

A final differs from a trial of equal spec by its evaluation on test data alone. So the final of a
finished trial needs no second training, and its record equals that of `capsbench run --final`.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytorch_lightning as pl

from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder, parse_lines
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec
from benchmarks.runs.evaluation import score_on_validation
from benchmarks.runs.journal import Journal
from benchmarks.runs.preparation import Prepared
from benchmarks.runs.run import run
from benchmarks.runs.stored_runs import record_of
from benchmarks.runs.training import fit_model
from benchmarks.runs.weights import load_into, weights_of
from benchmarks.wandb_options import PLAIN, WandbOptions


def final_of(spec: RunSpec) -> RunSpec:
    """Makes the spec of the final that has the same training as a run."""
    return spec.model_copy(update={"role": "final"})


def evaluate(
    run_id: str, *, source: DataSource, results: Path, log: WandbOptions = PLAIN
) -> RunRecord:
    """Makes the final of a finished run, without a second training.

    The record is bit-equal to the record that a training of the same spec as a final makes. If that
    record exists, it is read and returned, so test data is scored once.

    Args:
        run_id: the id of the run.
        source: where the data is.
        results: the path of the results folder.
        log: how Weights & Biases shows the final.

    Returns:
        The record of the final.

    Raises:
        InputError: if the run has no record, did not complete, or is damaged; if the data cannot be
            read or has another fingerprint than the spec says; or if this machine computes other
            validation metrics from the weights than the training did.
        OSError: if a file cannot be written.
    """
    folder, record = RunFolder(results.absolute(), run_id), record_of(results, run_id)
    if record.role == "final" and record.complete:
        return record
    if not record.complete:
        raise InputError(
            f"run {run_id} was {record.status}, so its training is not that of a final: name a run "
            "that completed"
        )
    if (fault := folder.damage()) is not None:
        raise InputError(f"{fault}: remove the run's folder to re-run the run")
    spec = final_of(record.spec)
    new = not folder.sibling(spec.run_id).path.exists()
    try:
        return run(
            spec, source=source, results=results, log=log, fit=partial(restore, record=record)
        )
    except BaseException:
        if new:  # nothing half-written is left, also after an interruption
            shutil.rmtree(folder.sibling(spec.run_id).path, ignore_errors=True)
        raise


def restore(
    prepared: Prepared, trainer: pl.Trainer, journal: Journal, *, record: RunRecord
) -> dict[str, float]:
    """Restores what a training left: the weights, `metrics.jsonl`, and the state of the task.

    Args:
        prepared: a run before its first training step; its training is that of the record.
        trainer: the trainer of the run.
        journal: the journal of the run.
        record: the record of a finished run in the same results folder.

    Returns:
        The metrics of the last epoch by name.

    Raises:
        InputError: if the weights do not match the record, or this machine computes other
            validation metrics from the weights than the training did.
    """
    if not prepared.model.trainable:
        return fit_model(prepared, trainer, journal)
    folder = prepared.folder.sibling(record.run_id)
    load_into(prepared.model, weights_of(folder))
    lines = parse_lines(folder.metrics.read_bytes())
    # The task fits its probes in the last epoch's validation, on the training samples of the epoch.
    epoch = trainer.fit_loop.epoch_progress.current
    epoch.completed = record.epochs - 1
    found = score_on_validation(prepared, trainer)
    if record.spec.deterministic:
        _require_equal(found, record)
    epoch.completed = record.epochs
    journal.load_state_dict(
        {
            "history": json.dumps(lines),
            "train_seconds": record.cost("train_seconds"),
            "seconds": record.cost("seconds"),
        }
    )
    journal.write_history()
    return dict(lines[-1]["metrics"])


def _require_equal(found: dict[str, float], record: RunRecord) -> None:
    """Checks validation metrics against a record. Raises InputError at the first difference."""
    for name, value in found.items():
        if record.metrics.get(name) != value:
            raise InputError(
                f"this machine computes {name} = {value} from the weights of {record.run_id}, "
                f"where the training found {record.metrics.get(name)}, so the scores would not be "
                "those of a final: evaluate on a machine like that of the run "
                f"({record.provenance.cpu_capability}, code {record.provenance.code_version}), or "
                "train again with --final"
            )
