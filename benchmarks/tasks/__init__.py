"""What all variants of a task share: metrics, pictures, the training step.

`of(task)` gives the LightningModule of a task.
"""

from __future__ import annotations

from typing import Any

from benchmarks.tasks.autoencoding import Autoencoding
from benchmarks.tasks.base import Task
from benchmarks.tasks.classification import Classification
from benchmarks.tasks.prediction import Prediction

_TASKS: dict[str, type[Task[Any]]] = {
    "classification": Classification,
    "autoencoding": Autoencoding,
    "prediction": Prediction,
}


def of(task: str) -> type[Task[Any]]:
    """The LightningModule of a task's name."""
    return _TASKS[task]
