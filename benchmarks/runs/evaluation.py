"""The evaluation of a run: on validation data, and of a final on test data, with its floors."""

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

    The task that scores them is not the one that trains: what a task keeps between batches, such as
    fitted probes, would otherwise reach a training that goes on in the middle of an epoch.

    Args:
        prepared: a run before its first step.
        trainer: the run's.

    Returns:
        The finite metrics of each floor, by name (an untrained network may have others), without
        those that have no meaning for the variant.
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
    """Scores a variant that is not trained by gradients on validation data.

    Returns:
        The metrics, by name with split; none if there is no validation data.
    """
    if prepared.data.validation is None:
        return {}
    task = prepared.task
    trainer.validate(task, verbose=False)
    validation = task.evaluation_losses() | task.compute()
    return {f"validation/{name}": value for name, value in validation.items()}


def score_on_test(task: Task[Any], trainer: pl.Trainer) -> dict[str, float]:
    """Scores a trained model on test data.

    Returns:
        The metrics, by name with split.

    Raises:
        NonFinite: if one is NaN or infinite.
    """
    metrics = {f"test/{name}": value for name, value in _tested(task, trainer).items()}
    require_finite(metrics, "the test")
    return metrics


def draw_pictures(task: Task[Any], folder: RunFolder) -> dict[str, Path]:
    """Writes the pictures of a trained model into its run's folder; returns the files by name."""
    with torch.inference_mode():
        return save_pictures(folder.path, task.eval().pictures())


def _tested(task: Task[Any], trainer: pl.Trainer) -> dict[str, float]:
    task.use_all_training_samples()
    trainer.test(task, verbose=False)
    return task.compute()
