"""Makes a run: `run(spec) -> record` trains, evaluates and records; the spec decides the result."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from filelock import FileLock, Timeout

from benchmarks import interrupts, own_variants
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.task_data import TaskData
from benchmarks.provenance import changes_since
from benchmarks.records.errors import RunHeldError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec, Stop
from benchmarks.runs import costs, evaluation, recording, several_devices, training
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.journal import Journal
from benchmarks.runs.preparation import Prepared, class_names_of, load_data, prepare
from benchmarks.runs.recording import Outcome
from benchmarks.runs.run_views import Views
from benchmarks.runs.weights import save_weights
from benchmarks.wandb_options import PLAIN, WandbOptions

LOCK = ".lock"
"""The file in a run's folder that the process holds that makes the run; it names the process."""

LOCK_SECONDS = 20.0
"""Seconds that a run waits for another process to release its folder, for instance a dying one."""


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
    fit: training.Fit | None = None,
    keep: bool = False,
) -> RunRecord:
    """Trains, evaluates and records a run. If the run has a record, reads and returns the record.

    A damaged record is set aside, and the run is re-run. So is a record that was made under other
    conditions (code, libraries, processor), unless it shall be kept; a line on stderr says so.

    If the run needs a base, the base is run first. An interrupted run resumes from its last
    checkpoint. An exception in the training, or memory that does not suffice for the data, becomes
    a record with status `failed`.

    Args:
        spec: everything that decides the run's numbers.
        source: where the data is.
        results: the path of the results folder.
        study: the name of the study that the run belongs to, if any.
        stop: decides after each epoch whether the run is pruned; by default it never is.
        callbacks: Lightning callbacks, such as a progress bar; they do not change the numbers.
        log: how Weights & Biases shows the run.
        debug: whether autograd's anomaly detection is on, which names the operation whose gradient
            is NaN. It is slow, and does not change the numbers.
        fit: trains the model; by default with the devices of the spec. `runs.restoration` restores
            a trained model instead.
        keep: whether a record that was made under other conditions is returned as it is.

    Returns:
        The record, which is also in `record.json` in the run's folder.

    Raises:
        InputError: if the data cannot be read or has another fingerprint than the spec says, if
            the stored record is of another version, or if another process makes the same run.
        OSError: if a file cannot be written.
        Interrupted: if SIGTERM or Ctrl-C ended the training, after a checkpoint.
    """
    log.name_of(spec)  # raises InputError for a wrong pattern before any work is done
    # Absolute, since libraries expand a ~ at the beginning of a path.
    own_variants.provide(results.absolute(), spec.variant_sha256)
    folder = RunFolder(results.absolute(), spec.run_id)
    record = folder.read_undamaged()
    if record is not None and (keep or not _made_otherwise(record, folder)):
        return record
    if spec.base is not None:
        base = run(
            spec.base,
            source=source,
            results=results,
            callbacks=callbacks,
            log=log.of_base(),
            debug=debug,
            keep=keep,
        )
        if base.status != "complete":
            reason = f"the run it is built on, {base.run_id}, has {base.status}: {base.reason}"
            return give_up(spec, results=results, study=study, reason=reason, log=log)
    if fit is None:
        fit = _fit_of(spec, source, callbacks, debug=debug)
    with _locked(folder):
        started = time.perf_counter()
        loaded = recording.attempt(lambda: _load(spec, source))
        data = None if isinstance(loaded, Outcome) else loaded
        with training.deterministic(spec.threads), _viewed(folder, spec, study, log) as view:
            primary = recording.scoring_of(spec).primary
            journal = Journal(folder.path, view, primary, stop, started=started)
            if isinstance(loaded, Outcome):
                outcome = loaded
            else:
                with interrupts.grace_period():
                    outcome = recording.attempt(
                        lambda: _train(
                            prepare(spec, loaded, folder),
                            journal,
                            training.make_trainer(spec, journal, callbacks, debug=debug),
                            fit,
                        ),
                        journal,
                    )
            record = recording.make_record(spec, outcome, data=data, study=study, journal=journal)
            return _keep(folder, record, outcome, view)


def _fit_of(
    spec: RunSpec, source: DataSource, callbacks: Sequence[pl.Callback], *, debug: bool
) -> training.Fit:
    if spec.devices == 1:
        return training.fit_model
    return partial(several_devices.fit_model, source=source, callbacks=callbacks, debug=debug)


def _made_otherwise(record: RunRecord, folder: RunFolder) -> bool:
    """Sets a record aside, and says so, if it was made under other conditions than there are now.

    Returns:
        Whether the record was set aside.
    """
    changed = changes_since(record)
    if changed:
        reason = f"run {record.run_id} was made under other conditions ({changed}): it is re-run"
        folder.set_aside(reason, "record.replaced")
    return bool(changed)


def give_up(
    spec: RunSpec,
    *,
    results: Path,
    study: str | None,
    reason: str,
    traceback: str | None = None,
    log: WandbOptions = PLAIN,
) -> RunRecord:
    """Records a run as failed, on behalf of a process that died. No data and no device are needed.

    The metrics and the checkpoints of the run are deleted.

    Args:
        spec: the spec of the run.
        results: the path of the results folder.
        study: the name of the study that the run belongs to, if any.
        reason: why the run failed, in one line.
        traceback: where the process hung, if this is known.
        log: how Weights & Biases shows the run.

    Returns:
        The record, which is also in `record.json` in the run's folder.
    """
    own_variants.provide(results.absolute(), spec.variant_sha256)
    folder = RunFolder(results.absolute(), spec.run_id)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.metrics.unlink(missing_ok=True)
    step = Checkpoints(folder.path).step()
    outcome = Outcome(status="failed", reason=reason, traceback=traceback, step=step)
    record = recording.make_record(spec, outcome, study=study)
    with _viewed(folder, spec, study, log) as view:
        return _keep(folder, record, outcome, view)


def _load(spec: RunSpec, source: DataSource) -> TaskData:
    """Loads the data of a run onto its device, on which other processes may leave little memory."""
    costs.reset_peak_memory(spec.device)
    return load_data(spec, source)


def _train(prepared: Prepared, journal: Journal, trainer: pl.Trainer, fit: training.Fit) -> Outcome:
    """Trains a prepared run and evaluates it; a final is also evaluated on test data."""
    spec, model, task = prepared.spec, prepared.model, prepared.task
    final = spec.role == "final"
    floors = evaluation.score_floors(prepared, trainer) if final else {}
    if spec.test_curve:
        journal.score_epoch = lambda: evaluation.score_epoch(prepared)
    metrics = fit(prepared, trainer, journal)
    pictures: dict[str, Path] = {}
    classes = class_names_of(spec)
    test_losses: dict[str, float] = {}
    if final:
        scores = evaluation.score_on_test(task, trainer)
        metrics, test_losses = metrics | scores.metrics, scores.losses
        pictures = evaluation.draw_pictures(prepared)
    return Outcome(
        status="pruned" if journal.stopped else "complete",
        metrics=metrics,
        floors=floors,
        test_losses=test_losses,
        history=journal.history,
        scores=journal.scores() if model.trainable else journal.scores_of([metrics]),
        pictures=pictures,
        weights_sha256=save_weights(
            model, spec, prepared.data.shape, prepared.folder, classes=classes
        ),
    )


def _keep(folder: RunFolder, record: RunRecord, outcome: Outcome, view: Views) -> RunRecord:
    """Ends the W&B view and writes the record. The record is last: a run without one is re-run.

    Returns:
        The record as it is written.
    """
    summary = {"status": record.status, "reason": record.reason, **record.metrics}
    summary |= {f"cost/{name}": value for name, value in record.costs.items() if value is not None}
    try:
        view.finish(summary, outcome.pictures, failed=record.status == "failed")
    finally:
        written = recording.write_record(record, folder)
    return written


@contextmanager
def _viewed(
    folder: RunFolder, spec: RunSpec, study: str | None, log: WandbOptions
) -> Iterator[Views]:
    """Opens the W&B view of a run; after an exception the view ends as failed."""
    view = Views(folder, spec, study=study, log=log)
    try:
        yield view
    except BaseException:
        view.finish({}, {}, failed=True)
        raise


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Makes the folder of a run and locks it.

    Raises:
        RunHeldError: if another process holds the lock for more than `LOCK_SECONDS`.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.path / LOCK, timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise RunHeldError(
            f"run {folder.run_id} is being made by another process{_holder(folder)}: wait for "
            "that process, or end it, and go on afterwards"
        ) from None
    with suppress(OSError):  # a full disk is reported where results are written
        (folder.path / LOCK).write_text(f"process {os.getpid()} on {platform.node()}")
    try:
        yield
    finally:
        lock.release()


def _holder(folder: RunFolder) -> str:
    """Names the process that holds the lock of a run, if the lock says it."""
    try:
        return f" ({named})" if (named := (folder.path / LOCK).read_text()) else ""
    except (OSError, UnicodeDecodeError):
        return ""
