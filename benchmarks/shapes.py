"""What a task sees of a dataset, without its data: shapes of samples, and their numbers."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.datasets import GENERATED, constellations
from benchmarks.datasets.moving import CANVAS
from benchmarks.datasets.source import official
from benchmarks.protocol import GENERATED_EPOCH, MOVING_MNIST
from benchmarks.records.spec import Budget
from models.variant import (
    ClipShape,
    Hyperparameters,
    ImageShape,
    PointShape,
    PredictionHyperparameters,
    Shape,
)


class Sizes(NamedTuple):
    """Numbers of samples: of training in an epoch, of validation, of test."""

    train: int
    validation: int
    test: int


def shape_of(dataset: str, config: Hyperparameters) -> Shape:
    """Says what a model must know of a dataset: as `protocol.load` does, without data.

    Args:
        dataset: its name.
        config: the variant's, which for prediction says which frames.

    Returns:
        The shape of a clip for prediction, else of an image or a set of points.
    """
    if dataset == constellations.NAME:
        return PointShape(constellations.POINTS, constellations.PATTERNS)
    source = official("mnist" if dataset == MOVING_MNIST else dataset)
    channels, height, width = source.shape
    if isinstance(config, PredictionHyperparameters):
        return ClipShape(channels, config.size, config.size, config.past, config.future)
    if dataset == MOVING_MNIST:
        return ImageShape(channels, CANVAS, CANVAS, source.classes, 2)
    return ImageShape(channels, height, width, source.classes)


def sizes_of(task: str, dataset: str, budget: Budget) -> Sizes:
    """Counts the samples of a run on the official data, or on generated data."""
    held = budget.validation_samples
    if task == "prediction" or dataset in GENERATED:
        train = budget.train_samples or GENERATED_EPOCH
        return Sizes(train, held, budget.test_samples or GENERATED_EPOCH)
    train, test = official(dataset).samples
    held = min(held, train // 5)
    kept = min(budget.train_samples or train, train - held)
    return Sizes(kept, held, min(budget.test_samples or test, test))
