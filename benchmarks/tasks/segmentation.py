"""Defines the segmentation of point sets, which is the task autoencoding on such datasets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets.task_data import TaskData
from benchmarks.tasks.task import Task
from models.variant import Coded, Points, PointShape, Variant


def matched_points(segments: np.ndarray, pattern: np.ndarray, presence: np.ndarray) -> int:
    """Counts the points of one sample that are right under the best matching.

    Each segment is matched to at most one pattern, so that as many points as possible are in the
    segment of their pattern.

    Args:
        segments: (points,) int64, the segment that the model gives each point.
        pattern: (points,) int64, the pattern to which each point belongs.
        presence: (points,), 1 for points that are present, otherwise 0.

    Returns:
        The number of present points in the segment that is matched to their pattern.
    """
    from scipy.optimize import linear_sum_assignment  # late: the import is slow

    present = presence > 0
    counts = np.zeros((segments.max() + 1, pattern.max() + 1), np.int64)
    np.add.at(counts, (segments[present], pattern[present]), 1)
    return int(counts[linear_sum_assignment(counts, maximize=True)].sum())


class Segmentation(Task[Points]):
    """Trains and evaluates the segmentation of points into patterns, without labels.

    `segmentation_accuracy` is the share of present points in the segment that is matched to their
    pattern. Segments are matched to patterns for each sample separately (Kosiorek et al. 2019,
    section 3.1), because the two squares of a sample differ only in their positions.
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
        """Scores the trivial answer `one segment`: all points of a sample in the same segment."""
        for batch in self.test_dataloader():
            assert isinstance(batch, Points)
            self.update(Coded(batch.x, segments=torch.zeros_like(batch.pattern)), batch)
        return {"one segment": self.compute()}

    def compute(self) -> dict[str, float]:
        accuracy = self._right / max(1, self._seen)
        self._right = self._seen = 0
        return {"segmentation_accuracy": accuracy}
