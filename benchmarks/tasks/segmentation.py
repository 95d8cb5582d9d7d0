"""Segmentation of point sets: autoencoding where the data is constellations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets.task_data import TaskData
from benchmarks.tasks.base import Task
from models.variant import Coded, Points, PointShape, Variant


def matched_points(segments: np.ndarray, pattern: np.ndarray, presence: np.ndarray) -> int:
    """Points of one sample that the best one-to-one matching of segments to patterns gets right.

    All (n,); only points with presence 1 count.
    """
    from scipy.optimize import linear_sum_assignment  # which takes its time

    there = presence > 0
    counts = np.zeros((segments.max() + 1, pattern.max() + 1), np.int64)
    np.add.at(counts, (segments[there], pattern[there]), 1)
    return int(counts[linear_sum_assignment(counts, maximize=True)].sum())


class Segmentation(Task[Points]):
    """`segmentation_accuracy`: the share of present points in the segment matched to their pattern.

    Segments are matched to patterns sample by sample (Kosiorek et al. 2019, section 3.1), since
    nothing but its place tells one square from another.
    """

    evaluation_batch = 200

    def __init__(self, model: Variant, data: TaskData, *, seed: int) -> None:
        super().__init__(model, data, seed=seed)
        assert isinstance(data.shape, PointShape)
        self._right = self._seen = 0

    def training_metrics(self, prediction: Coded, batch: Points) -> dict[str, Tensor]:
        return {}

    def update(self, prediction: Coded, batch: Points) -> None:
        assert prediction.segments is not None
        presence = batch.x[..., 2].cpu().numpy()
        samples = zip(
            prediction.segments.cpu().numpy(), batch.pattern.cpu().numpy(), presence, strict=True
        )
        self._right += sum(matched_points(*sample) for sample in samples)
        self._seen += int(presence.sum())

    def floors(self) -> dict[str, dict[str, float]]:
        """Scores one segment for all points of a sample."""
        for batch in self.test_dataloader():
            assert isinstance(batch, Points)
            self.update(Coded(batch.x, segments=torch.zeros_like(batch.pattern)), batch)
        return {"one segment": self.compute()}

    def compute(self) -> dict[str, float]:
        accuracy = self._right / max(1, self._seen)
        self._right = self._seen = 0
        return {"segmentation_accuracy": accuracy}
