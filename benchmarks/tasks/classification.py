"""Defines the task classification: one class per image, or two classes per frame of two digits."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassConfusionMatrix,
    MultilabelExactMatch,
    MultilabelRecall,
)

from benchmarks.datasets.task_data import TaskData
from benchmarks.tasks.task import Task
from benchmarks.tasks.training_statistics import class_counts
from models.layers.numerics import in_double
from models.variant import Images, ImageShape, Variant


class Classification(Task[Images]):
    """Trains and evaluates the classification of images.

    With one label per image, the metrics are `accuracy`, and `balanced_accuracy`, the mean of the
    accuracies of the classes that the evaluated samples show.

    With two labels per image (MultiMNIST protocol, Sabour et al. 2017, section 6), the answer is
    the two classes with the highest scores. `exact_match` is the share of images with two right
    classes. `digit_accuracy` is the share of digits whose class is in the answer.
    """

    evaluation_batch = 200

    def __init__(self, model: Variant, data: TaskData, *, seed: int) -> None:
        super().__init__(model, data, seed=seed)
        assert isinstance(data.shape, ImageShape)
        self.classes, self.labels = data.shape.classes, data.shape.labels
        # Of several devices, one evaluates: metrics must not wait for the processes of the others.
        self.confusion = MulticlassConfusionMatrix(self.classes, sync_on_compute=False)
        self.found = MetricCollection(
            {
                "exact_match": MultilabelExactMatch(self.classes, sync_on_compute=False),
                "digit_accuracy": MultilabelRecall(
                    self.classes, average="micro", sync_on_compute=False
                ),
            }
        )

    def training_metrics(self, prediction: Tensor, batch: Images) -> dict[str, Tensor]:
        if self.labels == 1:
            return {"accuracy": (prediction.argmax(dim=1) == batch.y[:, 0]).float().mean()}
        found = self._chosen(prediction).gather(1, batch.y)
        return {"exact_match": found.all(dim=1).float().mean()}

    def update(self, prediction: Tensor, batch: Images) -> None:
        chosen = self._chosen(prediction)
        if self.labels == 1:
            self.confusion.update(chosen.int().argmax(dim=1), batch.y[:, 0])
        else:
            truth = torch.zeros_like(chosen).scatter_(1, batch.y, True)
            self.found.update(chosen.int(), truth.int())

    def compute(self) -> dict[str, float]:
        if self.labels > 1:
            values = {name: float(value) for name, value in self.found.compute().items()}
            self.found.reset()
            return values
        counts = in_double(self.confusion.compute())
        self.confusion.reset()
        right, seen = counts.diagonal(), counts.sum(dim=1)
        present = seen > 0
        return {
            "accuracy": float(right.sum() / seen.sum()),
            "balanced_accuracy": float((right[present] / seen[present]).mean()),
        }

    def floors(self) -> dict[str, dict[str, float]]:
        """Scores the constant answer `largest class`: the most frequent training classes."""
        counts = class_counts(self.data.train, self.classes, self.evaluation_batch)
        for batch in self.test_dataloader():
            assert isinstance(batch, Images)
            self.update(counts.expand(len(batch.y), -1), batch)
        return {"largest class": self.compute()}

    def _chosen(self, scores: Tensor) -> Tensor:
        """Marks the classes with the highest scores, as many as an image has labels.

        Args:
            scores: (batch, classes).

        Returns:
            (batch, classes) bool.
        """
        best = scores.topk(self.labels, dim=1).indices
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)
