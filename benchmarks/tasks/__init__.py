"""Defines what all variants of a task share: metrics, pictures and the training step.

`task_class(task, dataset)` returns the LightningModule of a task on a dataset.
"""

from __future__ import annotations

from typing import Any

from benchmarks import datasets
from benchmarks.datasets.dataset import Form
from benchmarks.tasks.autoencoding import Autoencoding
from benchmarks.tasks.classification import Classification
from benchmarks.tasks.prediction import Prediction
from benchmarks.tasks.segmentation import Segmentation
from benchmarks.tasks.task import Task
from models.variant import PointShape, Shape

_TASKS: dict[str, type[Task[Any]]] = {
    "classification": Classification,
    "autoencoding": Autoencoding,
    "prediction": Prediction,
}


def task_class(task: str, dataset: str) -> type[Task[Any]]:
    """Returns the LightningModule of a task on a dataset.

    Args:
        task: `classification`, `autoencoding` or `prediction`.
        dataset: its name.

    Returns:
        The class of the task; for autoencoding of sets of points, `Segmentation`.

    Raises:
        InputError: if no dataset has this name.
        KeyError: if the task is not run on the dataset.
    """
    return Segmentation if datasets.find(dataset).forms[task] is Form.points else _TASKS[task]


def task_class_of_shape(task: str, shape: Shape) -> type[Task[Any]]:
    """Returns the LightningModule of a task on samples of a shape. The dataset need not be known.

    Args:
        task: `classification`, `autoencoding` or `prediction`.
        shape: the shape of a sample.

    Returns:
        The class of the task; for sets of points, `Segmentation`.
    """
    return Segmentation if isinstance(shape, PointShape) else _TASKS[task]
