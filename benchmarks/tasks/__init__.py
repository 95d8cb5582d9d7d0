"""What all variants of a task share: metrics, pictures, the training step.

`of(task)` gives the LightningModule of a task.
"""

from __future__ import annotations

from typing import Any

from benchmarks.datasets.constellations import NAME as CONSTELLATIONS
from benchmarks.tasks.autoencoding import Autoencoding
from benchmarks.tasks.base import Task
from benchmarks.tasks.classification import Classification
from benchmarks.tasks.prediction import Prediction
from benchmarks.tasks.segmentation import Segmentation

_TASKS: dict[str, type[Task[Any]]] = {
    "classification": Classification,
    "autoencoding": Autoencoding,
    "prediction": Prediction,
}


def of(task: str, dataset: str | None = None) -> type[Task[Any]]:
    """The LightningModule of a task's name, which sets of points have another of than images."""
    return Segmentation if dataset == CONSTELLATIONS else _TASKS[task]
