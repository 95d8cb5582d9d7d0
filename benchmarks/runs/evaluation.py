"""Evaluates a run: on validation data, and a final also on test data, with its floors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from benchmarks import interrupts
from benchmarks.runs.journal import require_finite
from benchmarks.runs.picture_files import save_pictures
from benchmarks.runs.preparation import Prepared
from benchmarks.runs.recording import scoring_of
from benchmarks.tasks import Task


def score_floors(prepared: Prepared, trainer: pl.Trainer) -> dict[str, dict[str, float]]:
    """Scores trivial answers and the untrained network on test data.

    A second task object scores them. State that a task keeps between batches, such as fitted
    probes, would otherwise change a training that resumes in the middle of an epoch.

    Args:
        prepared: a run before its first step.
        trainer: the trainer of the run.

    Returns:
        By floor, its metrics by name. Metrics that are not finite, as those of an untrained network
        may be, and metrics that have no meaning for the variant are left out.
    """
    task = prepared.another_task()
    scores = task.floors()
    if prepared.model.trainable:
        scores["untrained"] = _tested(task, trainer)
    absent = scoring_of(prepared.spec).absent
    return {
        name: {k: v for k, v in found.items() if k not in absent and math.isfinite(v)}
        for name, found in scores.items()
    }


def score_on_validation(prepared: Prepared, trainer: pl.Trainer) -> dict[str, float]:
    """Scores the model of a run on validation data, if the variant is not trained by gradients.

    Other variants are scored by the trainer after each epoch.

    Args:
        prepared: the run, with its fitted model.
        trainer: the trainer of the run.

    Returns:
        The losses and metrics by name, such as `validation/mse`; empty without validation data.
    """
    if prepared.data.validation is None:
        return {}
    task = prepared.task
    trainer.validate(task, verbose=False)
    validation = task.evaluation_losses() | task.compute()
    return {f"validation/{name}": value for name, value in validation.items()}


class FinalScores(NamedTuple):
    """Holds the scores of a trained model on test data."""

    metrics: dict[str, float]
    """By name, such as `test/accuracy`."""
    losses: dict[str, float]
    """The loss and its terms by name, such as `loss/margin`, as means over samples; those that are
    finite."""


def score_on_test(task: Task[Any], trainer: pl.Trainer) -> FinalScores:
    """Scores a trained model on test data.

    Args:
        task: the task with the trained model.
        trainer: the trainer of the run.

    Returns:
        The metrics and the losses.

    Raises:
        NonFinite: if a metric is NaN or infinite.
    """
    metrics = {f"test/{name}": value for name, value in _tested(task, trainer).items()}
    require_finite(metrics, "the test")
    losses = task.evaluation_losses()
    return FinalScores(metrics, {k: v for k, v in losses.items() if math.isfinite(v)})


def score_epoch(prepared: Prepared) -> dict[str, float]:
    """Scores a model on test data between two epochs, without a change to the training.

    A second task object scores it, as in `score_floors`, in the precision of the training.

    Args:
        prepared: the run, whose model has been trained for some epochs.

    Returns:
        The metrics by name, such as `test/accuracy`.
    """
    task = prepared.another_task().to(prepared.spec.device)
    task.use_all_training_samples()
    with prepared.task.as_in_evaluation():
        for index, batch in enumerate(task.test_dataloader()):
            interrupts.raise_if_requested()
            task.test_step(batch, index)
        return {f"test/{name}": value for name, value in task.compute().items()}


def draw_pictures(prepared: Prepared) -> dict[str, Path]:
    """Draws test samples with a trained model, and writes the pictures into the run's folder.

    Args:
        prepared: the run, with its trained model.

    Returns:
        The PNG files by name of the picture.
    """
    spec = prepared.spec
    title = f"{spec.variant} on {spec.dataset}, seed {spec.seed}, first test samples"
    with torch.inference_mode():
        pictures = prepared.task.eval().pictures()
        return save_pictures(prepared.folder.path, pictures, title=title)


def _tested(task: Task[Any], trainer: pl.Trainer) -> dict[str, float]:
    task.use_all_training_samples()
    try:
        trainer.test(task, verbose=False)
    except SystemExit:
        # Lightning 2.6 turns a KeyboardInterrupt into a SystemExit.
        raise KeyboardInterrupt from None
    return task.compute()
