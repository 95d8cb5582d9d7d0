"""Defines the task prediction: a model predicts the next frames of a sequence."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from benchmarks.datasets.samples import Batch
from benchmarks.datasets.task_data import TaskData
from benchmarks.tasks.task import Task
from benchmarks.tasks.training_statistics import mean_picture
from models.layers.numerics import in_double
from models.variant import Clips, Variant


def structural_similarity(one: Tensor, two: Tensor) -> Tensor:
    """Computes the SSIM (Wang et al. 2004) of pairs of images, as scikit-image does by default.

    The windows have 7×7 pixels of equal weight and are inside the image; the covariance is the
    sample covariance. The version of torchmetrics leaves out a border of five pixels.

    Args:
        one: (batch, channels, height, width) in [0, 1].
        two: images of the same shape.

    Returns:
        (batch,), the mean over windows and channels.
    """
    side, c1, c2 = 7, 0.01**2, 0.03**2
    sample = side**2 / (side**2 - 1)
    products = torch.cat([one, two, one * one, two * two, one * two])
    # Matrix products compute the means over windows several times as fast as pooling.
    rows, columns = (_window_means(n, side, one) for n in one.shape[-2:])
    with torch.autocast(one.device.type, enabled=False):
        means = rows @ products @ columns.T
    mean_1, mean_2, square_1, square_2, product = means.chunk(5)
    variances = sample * (square_1 - mean_1**2 + square_2 - mean_2**2)
    covariance = sample * (product - mean_1 * mean_2)
    similarity = (
        (2 * mean_1 * mean_2 + c1)
        * (2 * covariance + c2)
        / ((mean_1**2 + mean_2**2 + c1) * (variances + c2))
    )
    return similarity.mean(dim=(1, 2, 3))


def _window_means(size: int, side: int, like: Tensor) -> Tensor:
    """Makes the matrix (size − side + 1, size) that maps a row of pixels to its window means."""
    start = torch.arange(size - side + 1, device=like.device)[:, None]
    place = torch.arange(size, device=like.device)
    return ((place >= start) & (place < start + side)).to(like.dtype) / side


def frame_metrics(prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Computes the metrics of the Moving MNIST protocol (OpenSTL, Tan et al. 2023).

    `mse` and `mae` are sums over the pixels of a frame, not clipped. `ssim` and `psnr` use frames
    clipped to [0, 1]. Each metric is a mean over the frames of a sequence.

    Args:
        prediction: (batch, frames, channels, height, width).
        truth: the true frames, of the same shape, in [0, 1].

    Returns:
        By name, the sum of the metric over the sequences of the batch.
    """
    batch, frames = truth.shape[:2]
    error = prediction.float() - truth
    clipped = prediction.float().clamp(0, 1)
    similarity = structural_similarity(clipped.flatten(0, 1), truth.flatten(0, 1))
    noise = (clipped - truth).square().mean(dim=(2, 3, 4)).clamp_min(1e-10)
    per_sequence = {
        "mse": error.square().sum(dim=(2, 3, 4)).mean(dim=1),
        "mae": error.abs().sum(dim=(2, 3, 4)).mean(dim=1),
        "ssim": similarity.view(batch, frames).mean(dim=1),
        "psnr": (-10 * noise.log10()).mean(dim=1),
    }
    return {name: in_double(values).sum() for name, values in per_sequence.items()}


class Prediction(Task[Clips]):
    """Trains and evaluates the prediction of frames; `frame_metrics` explains the metrics."""

    evaluation_batch = 20
    shown = 3

    def __init__(self, model: Variant, data: TaskData, *, seed: int) -> None:
        super().__init__(model, data, seed=seed)
        self._frames = _FrameMeans()

    def training_metrics(self, prediction: Tensor, batch: Clips) -> dict[str, Tensor]:
        error = (prediction.float() - batch.future).square()
        return {"mse": error.sum(dim=(2, 3, 4)).mean()}

    def update(self, prediction: Tensor, batch: Clips) -> None:
        self._frames.add(prediction, batch.future)

    def compute(self) -> dict[str, float]:
        frames, self._frames = self._frames, _FrameMeans()
        return frames.means()

    def floors(self) -> dict[str, dict[str, float]]:
        """Scores the trivial answers `blank frame`, `mean image` and `last frame`.

        The mean image is the mean of training frames; the last frame is that of the past.
        """
        mean = mean_picture(self.data.train, _future_frames, self.evaluation_batch)
        scored: dict[str, _FrameMeans] = defaultdict(_FrameMeans)
        for batch in self.test_dataloader():  # one pass only, because clips may be generated
            assert isinstance(batch, Clips)
            future = batch.future
            scored["blank frame"].add(torch.zeros_like(future), future)
            scored["mean image"].add(mean.expand_as(future), future)
            scored["last frame"].add(batch.past[:, -1:].expand_as(future), future)
        return {name: frames.means() for name, frames in scored.items()}


def _future_frames(batch: Batch) -> Tensor:
    """Returns the frames to predict, (batch · frames, channels, height, width)."""
    assert isinstance(batch, Clips)
    return batch.future.flatten(0, 1)


class _FrameMeans:
    """Computes the means of `frame_metrics` over the sequences of several batches."""

    def __init__(self) -> None:
        self._totals: dict[str, Tensor | float] = defaultdict(float)
        self._seen = 0

    def add(self, prediction: Tensor, truth: Tensor) -> None:
        for name, value in frame_metrics(prediction, truth).items():
            self._totals[name] = self._totals[name] + value
        self._seen += len(truth)

    def means(self) -> dict[str, float]:
        return {name: float(total) / self._seen for name, total in self._totals.items()}
