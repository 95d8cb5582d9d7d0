"""A dataset as one task sees it, and how samples are chosen: the same rules for all datasets.

Validation data is a seeded, stratified cut of train: generated validation samples show images of
that cut, and no training sample does. Test samples are generated once from test images. A subset
of test images is a seeded, stratified one, the same for all variants and seeds.
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
"""Generated samples in an epoch, and of the test, where a budget sets no bound: the number of
sequences in the protocol of Moving MNIST."""
SPRITES = 2_000
"""Number of images that validation sequences show; a stand-in renders at least as many for train
and for test."""
TEST_SEED = 20_150_216
"""Decides which test samples are chosen, and what generated test samples show."""
_SPLIT_SEED = 20_171_026

PartName = Literal["train", "validation", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one part of a dataset."""

    images: np.ndarray
    """(N, C, H, W) uint8."""
    labels: np.ndarray
    """(N,) int64."""


@dataclass(frozen=True, eq=False)
class TaskData:
    """A dataset as one task sees it."""

    shape: Shape
    train: Samples
    validation: Samples | None
    """None if the budget has no validation samples."""
    test: Samples
    test_of: int
    """How many test samples there are, before a subset is chosen."""
    test_selection: Selection
    info: DataInfo

    @property
    def counts(self) -> SampleCounts:
        """Counts the samples that a run on this data uses."""
        return SampleCounts(
            train=len(self.train),
            validation=0 if self.validation is None else len(self.validation),
            test=len(self.test),
            test_of=self.test_of,
            test_selection=self.test_selection,
        )


class Generator(Protocol):
    """Makes the generated samples of one part of a dataset."""

    def __call__(self, part: PartName, *, seed: int, count: int, fresh: bool) -> Samples:
        """Makes `count` samples per epoch: other ones in each epoch if they are to be `fresh`."""
        ...


def generated_data(
    generate: Generator, *, shape: Shape, info: DataInfo, budget: Budget, seed: int
) -> TaskData:
    """Builds generated task data: training samples from `seed`, the others from fixed seeds.

    Args:
        generate: makes the samples of a part.
        shape: the shape of a sample.
        info: describes the data.
        budget: how many samples of each part; `GENERATED_EPOCH` where it sets no bound.
        seed: the seed of the run.
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


@lru_cache(maxsize=4)  # worker processes make many runs of a cell in turn
def split_validation(train: Split, *, validation: int, kept: int | None) -> tuple[Split, Split]:
    """Cuts training images into train and validation, stratified by class.

    Args:
        train: all training images.
        validation: number of images to hold out: a fifth of all at most; 0: none.
        kept: number of images to train on at most; None: all that are not held out.

    Returns:
        The images to train on, and those held out.

    Raises:
        InputError: if a class has too few images to be in both.
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
            f"{len(train.labels)} training images are too few to cut {held} of them for "
            f"validation ({' '.join(str(error).split())}): give more data, or a larger profile"
        ) from None
    return take_images(train, cut), take_images(train, held_out)


def held_out_count(validation: int, samples: int) -> int:
    """Returns how many of `samples` training samples are held out: a fifth of them at most."""
    return min(validation, samples // 5)


def take_images(whole: Split, index: np.ndarray) -> Split:
    """Returns the images of an index."""
    return Split(whole.images[index], whole.labels[index])


def selection_kind(count: int, budget: Budget, subset: Selection) -> Selection:
    """Names how a budget's test samples are chosen from `count` samples: all, or as a `subset`."""
    return "all" if budget.test_samples is None or budget.test_samples >= count else subset


def choose_stratified(labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Chooses samples at random, with the classes in proportion, up to rounding.

    Args:
        labels: (n,) the samples' classes.
        count: number of samples to choose; all are chosen if there are fewer.
        seed: seed of the choice.

    Returns:
        (min(count, n),) indices of the chosen samples, in rising order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    share = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(share, kind="stable")[:count])
