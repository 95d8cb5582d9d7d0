"""Scores the trained model of a run on the test data of another dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.frames import Frames
from benchmarks.datasets.task_data import TaskData
from benchmarks.provenance import provenance
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.other_scores import OtherScores, read_scores, scores_path, write_scores
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec
from benchmarks.runs import training
from benchmarks.runs.evaluation import score_on_test
from benchmarks.runs.preparation import config_of, load_data, prepare
from benchmarks.runs.recording import scoring_of
from benchmarks.runs.weights import load_into, weights_of
from benchmarks.wording import sizes
from models import registry


def score_on(
    record: RunRecord, dataset: str, *, source: DataSource, results: Path
) -> tuple[OtherScores, Path]:
    """Scores the model of a finished run on the test data of another dataset, once.

    What the task fits to training samples, such as linear probes, is fitted to those of the run's
    own dataset. The budget of the run says how many test samples are scored.

    Args:
        record: the record of the run.
        dataset: the name of the other dataset; the run's own dataset is possible with other data
            than the run was trained on.
        source: where the data of both datasets is.
        results: the path of the results folder.

    Returns:
        The scores, and the path of the file that holds them. Stored scores of the same data are
        read and returned.

    Raises:
        InputError: if the run failed, its weights do not match its record, the other dataset has
            samples of another shape or is the run's own data, or data cannot be read.
        OSError: if the file cannot be written.
    """
    spec = record.spec
    if record.status == "failed":
        raise InputError(f"run {record.run_id} failed and has no model: {record.reason}")
    folder = RunFolder(results.absolute(), record.run_id)
    other = _load(spec, dataset, source)
    if other.info.sha256 == spec.data_sha256:
        raise InputError(
            f"run {record.run_id} was trained on this data of {dataset}: leave --dataset out to "
            "score its test data"
        )
    path = scores_path(folder, dataset, other.info.sha256)
    stored = read_scores(path)
    if stored is not None and stored.weights_sha256 == record.weights_sha256:
        return stored, path
    own = load_data(spec, source)
    _require_same_shape(record, own, dataset, other)
    data = replace(
        own,
        test=other.test,
        test_of=other.test_of,
        test_selection=other.test_selection,
        info=other.info,
    )
    with training.deterministic(spec.threads):
        prepared = prepare(spec, data, folder)
        trainer = training.make_trainer(spec)
        if prepared.model.trainable:
            load_into(prepared.model, weights_of(folder))
        else:
            prepared.task.fit_model()
        trainer.fit_loop.epoch_progress.current.completed = record.epochs
        metrics = score_on_test(prepared.task, trainer).metrics
    scores = OtherScores(
        run_id=record.run_id,
        trained_on=spec.dataset,
        tested_on=dataset,
        data=other.info,
        samples=data.counts,
        metric=scoring_of(spec).primary,
        directions=record.directions,
        metrics=metrics,
        weights_sha256=record.weights_sha256,
        provenance=provenance().model_copy(update={"data": own.info}),
    )
    write_scores(scores, path)
    return scores, path


def _load(spec: RunSpec, dataset: str, source: DataSource) -> TaskData:
    """Loads the data of another dataset, as for a run of a spec."""
    task = registry.available()[spec.variant].task
    found = datasets.find(dataset)
    if task not in found.forms:
        raise InputError(
            f"{dataset} is for {', '.join(found.forms)}, but the task of {spec.variant} is {task}: "
            "choose another dataset"
        )
    return found.load(
        task,
        budget=spec.budget,
        source=source,
        seed=spec.seed,
        device=spec.device,
        frames=Frames.of(config_of(spec)),
    )


def _require_same_shape(record: RunRecord, own: TaskData, dataset: str, other: TaskData) -> None:
    if own.shape != other.shape:
        raise InputError(
            f"samples of {dataset} have {sizes(other.shape)}, but run {record.run_id} was trained "
            f"on {record.dataset}, whose samples have {sizes(own.shape)}: choose a dataset of the "
            "same shape"
        )
