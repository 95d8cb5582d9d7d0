"""What all variants of a task share: metrics, pictures, the training step.

`task_class(task, dataset)` returns the LightningModule of a task on a dataset.
"""

from __future__ import annotations

from typing import Any

from benchmarks import datasets
from benchmarks.datasets.dataset import Form
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


def task_class(task: str, dataset: str) -> type[Task[Any]]:
    """Returns the LightningModule of a task: where autoencoding sees points, it segments them."""
    return Segmentation if datasets.find(dataset).forms[task] is Form.points else _TASKS[task]
