"""Defines the data of one task, and chooses samples by the same rules for all datasets.

Validation images are a seeded, stratified part of the training images. Generated validation samples
show only these images, and training samples show only the others. Generated test samples show test
images. A subset of the test images is seeded and stratified, and equal for all variants and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from benchmarks.datasets.splits import stratified_cut
from benchmarks.records.errors import InputError
from benchmarks.records.record import DataInfo, SampleCounts, Selection
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import Budget

if TYPE_CHECKING:
    from benchmarks.datasets.samples import Samples
    from models.variant import Shape

GENERATED_EPOCH = 10_000
"""Number of generated training samples per epoch and of generated test samples, if the budget sets
no number; it is the number of sequences in the Moving MNIST protocol."""
SPRITES = 2_000
"""Number of images that validation sequences show. A stand-in has at least as many training and as
many test images."""
TEST_SEED = 20_150_216
"""Seed of the choice of test samples, and of generated test samples."""
_SPLIT_SEED = 20_171_026
"""Seed of the choice of training and validation samples."""

PartName = Literal["train", "validation", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """Holds the images and labels of one part of a dataset."""

    images: np.ndarray
    """(N, C, H, W) uint8."""
    labels: np.ndarray
    """(N,) int64."""


@dataclass(frozen=True, eq=False)
class TaskData:
    """Holds the samples of a dataset for one task."""

    shape: Shape
    train: Samples
    validation: Samples | None
    """None: the budget has no validation samples."""
    test: Samples
    test_of: int
    """Number of test samples before a subset is chosen."""
    test_selection: Selection
    info: DataInfo

    @property
    def counts(self) -> SampleCounts:
        """Counts the samples of a run on this data."""
        return SampleCounts(
            train=len(self.train),
            validation=0 if self.validation is None else len(self.validation),
            test=len(self.test),
            test_of=self.test_of,
            test_selection=self.test_selection,
        )


class Generator(Protocol):
    """Defines the interface of a function that makes the generated samples of one part."""

    def __call__(self, part: PartName, *, seed: int, count: int, fresh: bool) -> Samples:
        """Makes generated samples.

        Args:
            part: `train`, `validation` or `test`.
            seed: the seed of the samples.
            count: number of samples per epoch.
            fresh: whether each epoch has new samples.
        """
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class GeneratedSamples:
    """Is the base class of samples that are generated when a batch is gathered."""

    seed: int
    count: int
    """Number of samples per epoch."""
    fresh: bool
    """Whether each epoch has new samples, as in training."""

    def __len__(self) -> int:
        return self.count

    def drawn_in(self, epoch: int) -> int:
        """Returns the epoch whose random numbers are used: the first, unless samples are fresh.

        Args:
            epoch: the epoch in which samples are shown.
        """
        return epoch if self.fresh else 0


def generated_data(
    generate: Generator, *, shape: Shape, info: DataInfo, budget: Budget, seed: int
) -> TaskData:
    """Builds the data of a task with generated samples.

    Training samples depend on the seed of the run; validation and test samples have fixed seeds.

    Args:
        generate: makes the samples of a part.
        shape: the shape of a sample.
        info: the description of the data.
        budget: how many samples of each part are used; `GENERATED_EPOCH` training or test samples
            if it sets no number.
        seed: the seed of the run.

    Returns:
        The samples for training, validation and test.
    """
    held = budget.validation_samples
    test = generate(
        "test", seed=TEST_SEED, count=budget.test_samples or GENERATED_EPOCH, fresh=False
    )
    return TaskData(
        shape=shape,
        train=generate(
            "train",
            seed=derive_seed(seed, data="train"),
            count=budget.train_samples or GENERATED_EPOCH,
            fresh=True,
        ),
        validation=generate(
            "validation", seed=derive_seed(TEST_SEED, data="validation"), count=held, fresh=False
        )
        if held
        else None,
        test=test,
        test_of=len(test),
        test_selection="generated",
        info=info,
    )


@lru_cache(maxsize=4)  # a worker process makes many runs of a cell, one after the other
def split_validation(train: Split, *, validation: int, kept: int | None) -> tuple[Split, Split]:
    """Splits training images into images to train on and validation images, stratified by class.

    Args:
        train: all training images.
        validation: number of images to hold out; at most a fifth of all images is held out.
        kept: largest number of images to train on; None: all that are not held out.

    Returns:
        The images to train on, and the validation images.

    Raises:
        InputError: if there are too few images, for instance of one class.
    """
    if validation == 0:
        whole = np.arange(len(train.labels))
        cut = whole if kept is None else choose_stratified(train.labels, kept, seed=_SPLIT_SEED)
        return take_images(train, cut), take_images(train, whole[:0])
    held = held_out_count(validation, len(train.labels))
    rest = len(train.labels) - held
    try:
        cut, held_out = stratified_cut(
            train.labels,
            train=rest if kept is None else min(kept, rest),
            held=held,
            seed=_SPLIT_SEED,
        )
    except ValueError as error:
        raise InputError(
            f"{len(train.labels)} training images are too few to hold out {held} for validation "
            f"({' '.join(str(error).split())}): use more data or a larger profile"
        ) from None
    return take_images(train, cut), take_images(train, held_out)


def held_out_count(validation: int, samples: int) -> int:
    """Computes how many training samples are held out for validation.

    Args:
        validation: the number that the budget asks for.
        samples: number of all training samples.

    Returns:
        The smaller of `validation` and a fifth of `samples`, rounded down.
    """
    return min(validation, samples // 5)


def take_images(whole: Split, index: np.ndarray) -> Split:
    """Selects images and labels.

    Args:
        whole: the images to select from.
        index: (n,) int64, the indices of the images.

    Returns:
        The selected images and labels, in the order of `index`.
    """
    return Split(whole.images[index], whole.labels[index])


def selection_kind(count: int, budget: Budget, subset: Selection) -> Selection:
    """Names how the test samples of a budget are chosen.

    Args:
        count: number of all test samples.
        budget: how many test samples are used.
        subset: how a subset is chosen.

    Returns:
        `all` if the budget uses all test samples, otherwise `subset`.
    """
    return "all" if budget.test_samples is None or budget.test_samples >= count else subset


def choose_at_random(of: int, count: int, *, seed: int) -> np.ndarray:
    """Chooses samples without classes at random.

    Args:
        of: number of samples to choose from.
        count: number of samples to choose; if there are fewer, all are chosen.
        seed: the seed of the choice.

    Returns:
        (min(count, of),), the indices of the chosen samples in random order.
    """
    return np.random.default_rng(seed).permutation(of)[:count]


def choose_stratified(labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Chooses samples at random, stratified by class up to rounding.

    Args:
        labels: (n,), the classes of the samples.
        count: number of samples to choose; if there are fewer, all are chosen.
        seed: the seed of the choice.

    Returns:
        (min(count, n),), the indices of the chosen samples in ascending order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    share = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(share, kind="stable")[:count])
