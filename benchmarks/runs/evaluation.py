"""Evaluates a run: on validation data, and a final also on test data, with its floors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.records.folders import RunFolder
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


def score_on_test(task: Task[Any], trainer: pl.Trainer) -> dict[str, float]:
    """Scores a trained model on test data.

    Args:
        task: the task with the trained model.
        trainer: the trainer of the run.

    Returns:
        The metrics by name, such as `test/accuracy`.

    Raises:
        NonFinite: if a metric is NaN or infinite.
    """
    metrics = {f"test/{name}": value for name, value in _tested(task, trainer).items()}
    require_finite(metrics, "the test")
    return metrics


def draw_pictures(task: Task[Any], folder: RunFolder) -> dict[str, Path]:
    """Draws the pictures of a trained model and writes them into the folder of its run.

    Args:
        task: the task with the trained model.
        folder: the folder of the run.

    Returns:
        The PNG files by name of the picture.
    """
    with torch.inference_mode():
        return save_pictures(folder.path, task.eval().pictures())


def _tested(task: Task[Any], trainer: pl.Trainer) -> dict[str, float]:
    task.use_all_training_samples()
    trainer.test(task, verbose=False)
    return task.compute()
