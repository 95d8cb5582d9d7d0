"""`run(spec) -> record`: one training with its evaluation, a pure function of its spec."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
from filelock import FileLock, Timeout

from benchmarks import interrupts
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec, Stop
from benchmarks.runs import costs, evaluation, recording, training
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.journal import Journal
from benchmarks.runs.preparation import Prepared, load_data, prepare
from benchmarks.runs.recording import Outcome
from benchmarks.runs.wandb_view import WandbView
from benchmarks.wandb_options import PLAIN, WandbOptions
from models import registry

LOCK_SECONDS = 20.0
"""How long a run waits for a dying process that holds its folder."""


def run(
    spec: RunSpec,
    *,
    source: DataSource,
    results: Path,
    study: str | None = None,
    stop: Stop | None = None,
    callbacks: Sequence[pl.Callback] = (),
    log: WandbOptions = PLAIN,
    debug: bool = False,
) -> RunRecord:
    """Trains, scores and records a run, or returns the record that its folder has.

    The run whose trained model this one is built on, if any, is made first. An exception in the
    training becomes a record of status `failed`.

    Args:
        spec: everything that decides the run's numbers.
        source: where the data is.
        results: the results folder.
        study: the study that the run belongs to, if any.
        stop: asked after each epoch whether the run is pruned here.
        callbacks: Lightning's, such as a progress bar; they decide no number.
        log: how Weights & Biases shows the run.
        debug: whether autograd's anomaly detection is on, which names the operation whose gradient
            is NaN. It takes time, and decides no number.

    Returns:
        The record, which `record.json` in the run's folder holds too.

    Raises:
        InputError: if the data is not the one that the spec names, or another process makes the
            same run.
        OSError: if files cannot be written.
        Leave: if SIGTERM or Ctrl-C ended the training, once it has its checkpoint.
    """
    log.name_of(spec)  # a pattern that gives no name is known at once
    folder = RunFolder(results, spec.run_id)
    record = folder.read_undamaged()
    if record is not None:
        return record
    if spec.base is not None:
        base = run(
            spec.base,
            source=source,
            results=results,
            callbacks=callbacks,
            log=log.of_base(),
            debug=debug,
        )
        if base.status != "complete":
            reason = f"the run it is built on, {base.run_id}, has {base.status}: {base.reason}"
            return give_up(spec, results=results, study=study, reason=reason, log=log)
    with _locked(folder):
        started = time.perf_counter()
        costs.reset_peak_memory(spec.device)
        data = load_data(spec, source)
        with training.deterministic(spec.threads), _viewed(folder, spec, study, log) as view:
            primary = recording.scoring_of(spec).primary
            journal = Journal(folder.path, view, primary, stop, started=started)
            with interrupts.grace_period():
                outcome = recording.attempt(
                    journal,
                    lambda: _train(prepare(spec, data, folder), journal, callbacks, debug=debug),
                )
            record = recording.record_of(spec, outcome, data=data, study=study, journal=journal)
            _keep(folder, record, outcome, view)
    return record


def give_up(
    spec: RunSpec,
    *,
    results: Path,
    study: str | None,
    reason: str,
    traceback: str | None = None,
    log: WandbOptions = PLAIN,
) -> RunRecord:
    """Records a run as failed whose process did not live to do so. Needs no data and no device.

    Args:
        spec: the run's.
        results: the results folder.
        study: the study that the run belongs to, if any.
        reason: why it failed, in one line.
        traceback: where it hung, if that is known.
        log: how Weights & Biases shows the run.

    Returns:
        The record.
    """
    folder = RunFolder(results, spec.run_id)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.metrics.unlink(missing_ok=True)
    step = Checkpoints(folder.path).step()
    outcome = Outcome(status="failed", reason=reason, traceback=traceback, step=step)
    record = recording.record_of(spec, outcome, study=study)
    with _viewed(folder, spec, study, log) as view:
        _keep(folder, record, outcome, view)
    return record


def _train(
    prepared: Prepared, journal: Journal, callbacks: Sequence[pl.Callback], *, debug: bool
) -> Outcome:
    """Trains a prepared run and evaluates it, a final on test data too."""
    spec, model, task = prepared.spec, prepared.model, prepared.task
    trainer = training.make_trainer(spec, journal, callbacks, debug=debug)
    final = spec.role == "final"
    floors = evaluation.score_floors(prepared, trainer) if final else {}
    if model.trainable:
        training.fit_task(trainer, task, journal)
        metrics = dict(journal.history[-1]["metrics"])
    else:
        task.fit_model()
        metrics = evaluation.score_on_validation(prepared, trainer)
    pictures: dict[str, Path] = {}
    if final:
        metrics |= evaluation.score_on_test(task, trainer)
        pictures = evaluation.draw_pictures(task, prepared.folder)
    return Outcome(
        status="pruned" if journal.stopped else "complete",
        metrics=metrics,
        floors=floors,
        history=journal.history,
        scores=journal.scores() if model.trainable else journal.scores_of([metrics]),
        pictures=pictures,
        weights_sha256=recording.save_weights(model, prepared.folder),
    )


def _keep(folder: RunFolder, record: RunRecord, outcome: Outcome, view: WandbView) -> None:
    """Ends the view and writes the record: last, since a run without a record is re-run whole."""
    summary = {"status": record.status, "reason": record.reason, **record.metrics}
    try:
        view.finish(summary, outcome.pictures, failed=record.status == "failed")
    finally:
        recording.write_record(record, folder)


@contextmanager
def _viewed(
    folder: RunFolder, spec: RunSpec, study: str | None, log: WandbOptions
) -> Iterator[WandbView]:
    """Opens the view of a run; one that an exception leaves open ends as failed."""
    task = registry.available()[spec.variant].task
    view = WandbView(folder.path, spec, study=study, task=task, log=log)
    try:
        yield view
    except BaseException:
        view.finish({}, {}, failed=True)
        raise


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Makes the folder of a run and holds it. Raises InputError if another process holds it."""
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.path / ".lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"run {folder.run_id} is being made by another process: wait for it, or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()
