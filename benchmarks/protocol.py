"""Which samples a task sees on a dataset: the matrix of tasks × datasets, without holes.

| task | still datasets | moving_mnist |
| --- | --- | --- |
| classification, autoencoding | its images | single frames of two digits of different classes |
| prediction | moving images of the dataset | moving digits; the standard test file where it is |

Beside the matrix stand `constellations`, sets of points for autoencoding variants that take them.

Validation data is a seeded, stratified cut of train: generated validation sequences show images of
that cut, and no training sequence does. Test sequences are generated once from test images. A
subset of test images is a seeded, stratified one, the same for all variants and seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.batches import (
    Constellations,
    FiledClips,
    Frames,
    MovingClips,
    MovingFrames,
    Samples,
    StillSamples,
)
from benchmarks.datasets import constellations
from benchmarks.datasets.moving import moving
from benchmarks.datasets.source import Split, Still, load_moving_test, load_still
from benchmarks.errors import InputError
from benchmarks.seeds import derive
from benchmarks.spec import Budget, DataInfo, SampleCounts, Selection, fingerprint
from benchmarks.splits import stratified_cut
from models.variant import ClipShape, ImageShape, PointShape, Shape

MOVING_MNIST = "moving_mnist"
GENERATED_EPOCH = 10_000
"""Sequences an epoch, and test sequences, where a budget sets no bound: the protocol's size."""

_SPRITES = 2_000
"""Images that generated sequences are made of at least: a stand-in's, and those held out."""
_SPLIT_SEED = 20_171_026
_TEST_SEED = 20_150_216


@dataclass(frozen=True)
class DataSource:
    """Where data comes from."""

    root: Path
    download: str = "none"
    """`none`, `small` (all but the Moving MNIST test file) or `all`."""


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


def load(
    task: str,
    dataset: str,
    *,
    budget: Budget,
    source: DataSource,
    seed: int,
    device: str = "cpu",
    frames: Frames | None = None,
) -> TaskData:
    """Builds a dataset for a task. `seed` decides generated training samples, and nothing else.

    `frames`: of prediction, which ones and how large; 10 → 10 of 64×64 by default.
    """
    if dataset == constellations.NAME:
        return _constellations(budget, seed, device)
    still = _still(task, dataset, budget, source)
    if task == "prediction":
        return _clips(dataset, still, budget, source, seed, device, frames or Frames())
    if dataset == MOVING_MNIST:
        return _frames(still, budget, seed, device)
    return _images(still, budget, device)


def describe(task: str, dataset: str, *, budget: Budget, source: DataSource) -> DataInfo:
    """What `load` would say of the data, without building it."""
    if dataset == constellations.NAME:
        return _constellations_info()
    still = _still(task, dataset, budget, source)
    if task == "prediction":
        return _moving_info(dataset, still, _test_file(dataset, source))
    return _frames_info(still) if dataset == MOVING_MNIST else _still_info(still)


def require_samples(
    task: str, dataset: str, *, asked: Mapping[str, int], budget: Budget, source: DataSource
) -> None:
    """Raises InputError where still images are fewer than was asked of a budget's fields.

    What is generated has no such limit.
    """
    if task == "prediction" or dataset in (MOVING_MNIST, constellations.NAME):
        return
    whole = len(_still(task, dataset, budget, source).train.labels)
    held = min(budget.validation_samples, whole // 5)
    most = {"validation_samples": whole // 5, "train_samples": whole - held}
    for name, limit in most.items():
        if asked.get(name, 0) > limit:
            raise InputError(
                f"--{name.replace('_', '-')} {asked[name]}: of the {whole} training images of "
                f"{dataset} it can be {limit} at most"
            )


def _still(task: str, dataset: str, budget: Budget, source: DataSource) -> Still:
    moves = task == "prediction" or dataset == MOVING_MNIST
    train = _SPRITES if moves else budget.train_samples
    # So many that the cut for validation, at most a fifth, is as large as the budget says.
    rendered = None if train is None else max(train, 4 * budget.validation_samples)
    return load_still(
        "mnist" if dataset == MOVING_MNIST else dataset,
        root=source.root,
        download=source.download != "none",
        train_samples=None if rendered is None else rendered + budget.validation_samples,
        test_samples=_SPRITES if moves else budget.test_samples,
    )


@lru_cache(maxsize=4)  # worker processes make many runs of a cell in turn
def _split(train: Split, *, validation: int, kept: int | None) -> tuple[Split, Split]:
    """Cuts training images into train and validation, stratified by class.

    Validation is at most a fifth of them, and empty where `validation` is 0.
    """
    if validation == 0:
        whole = np.arange(len(train.labels))
        cut = whole if kept is None else stratified(train.labels, kept, seed=_SPLIT_SEED)
        return _take(train, cut), _take(train, whole[:0])
    held = min(validation, len(train.labels) // 5)
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
    return _take(train, cut), _take(train, held_out)


def _sprites(train: Split, budget: Budget) -> tuple[Split, Split]:
    """Returns the images shown by generated training data, and those shown by validation data."""
    return _split(train, validation=_SPRITES if budget.validation_samples else 0, kept=None)


def _take(split: Split, index: np.ndarray) -> Split:
    return Split(split.images[index], split.labels[index])


def stratified(labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
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


def _images(still: Still, budget: Budget, device: str) -> TaskData:
    cut, held_out = _split(
        still.train, validation=budget.validation_samples, kept=budget.train_samples
    )
    of = len(still.test.labels)
    test, selection = still.test, _selection(of, budget)
    if selection != "all":
        assert budget.test_samples is not None
        test = _take(test, stratified(test.labels, budget.test_samples, seed=_TEST_SEED))
    _, channels, height, width = still.train.images.shape
    return TaskData(
        ImageShape(channels, height, width, still.classes),
        _on(cut, device),
        _on(held_out, device) if budget.validation_samples else None,
        _on(test, device),
        of,
        selection,
        _still_info(still),
    )


def _selection(count: int, budget: Budget, subset: Selection = "stratified") -> Selection:
    """Returns how a budget's test samples are chosen from `count` samples."""
    return "all" if budget.test_samples is None or budget.test_samples >= count else subset


def _on(split: Split, device: str) -> StillSamples:
    return StillSamples(
        torch.from_numpy(split.images).to(device), torch.from_numpy(split.labels).to(device)
    )


def _frames(still: Still, budget: Budget, seed: int, device: str) -> TaskData:
    cut, held_out = _sprites(still.train, budget)

    def frames(split: Split, seed: int, count: int | None, fresh: bool = False) -> MovingFrames:
        source = moving(split, distinct=True, device=device)
        return MovingFrames(source, seed, count or GENERATED_EPOCH, fresh)

    train = frames(cut, derive(seed, data="train"), budget.train_samples, fresh=True)
    source = train.source
    test = frames(still.test, _TEST_SEED, budget.test_samples)
    validation = derive(_TEST_SEED, data="validation")
    return TaskData(
        ImageShape(source.sprites.shape[1], source.canvas, source.canvas, still.classes, 2),
        train,
        _held(frames, held_out, validation, budget),
        test,
        len(test),
        "generated",
        _frames_info(still),
    )


def _held(
    make: Callable[[Split, int, int], Samples], held_out: Split, seed: int, budget: Budget
) -> Samples | None:
    """Generates validation samples; returns None if the budget has none."""
    count = budget.validation_samples
    return make(held_out, seed, count) if count else None


def _clips(
    dataset: str,
    still: Still,
    budget: Budget,
    source: DataSource,
    seed: int,
    device: str,
    frames: Frames,
) -> TaskData:
    cut, held_out = _sprites(still.train, budget)

    def clips(split: Split, seed: int, count: int | None, fresh: bool = False) -> MovingClips:
        sprites = moving(split, distinct=False, device=device)
        return MovingClips(sprites, seed, count or GENERATED_EPOCH, fresh, frames)

    filed = _test_file(dataset, source)
    train = clips(cut, derive(seed, data="train"), budget.train_samples, fresh=True)
    test: Samples
    selection: Selection = "generated"
    if filed is None:
        test = clips(still.test, _TEST_SEED, budget.test_samples)
        of = len(test)
    else:
        sequences, of = filed[0], len(filed[0])
        selection = _selection(of, budget, "random")
        if selection != "all":
            chosen = np.random.default_rng(_TEST_SEED).permutation(of)[: budget.test_samples]
            sequences = sequences[np.sort(chosen)]
        filed_clips = torch.from_numpy(sequences).to(device)
        if frames.past + frames.future > filed_clips.shape[1]:
            raise InputError(
                f"{filed[3]} has sequences of {filed_clips.shape[1]} frames: {frames.past} past "
                f"and {frames.future} future ones are too many"
            )
        test = FiledClips(filed_clips, frames)
    channels = train.source.sprites.shape[1]
    return TaskData(
        ClipShape(channels, frames.size, frames.size, frames.past, frames.future),
        train,
        _held(clips, held_out, derive(_TEST_SEED, data="validation"), budget),
        test,
        of,
        selection,
        _moving_info(dataset, still, filed),
    )


def _constellations(budget: Budget, seed: int, device: str) -> TaskData:
    def sets(seed: int, count: int | None, fresh: bool = False) -> Constellations:
        return Constellations(seed, count or GENERATED_EPOCH, fresh, device)

    validation, test = budget.validation_samples, sets(_TEST_SEED, budget.test_samples)
    return TaskData(
        PointShape(constellations.POINTS, constellations.PATTERNS),
        sets(derive(seed, data="train"), budget.train_samples, fresh=True),
        sets(derive(_TEST_SEED, data="validation"), validation) if validation else None,
        test,
        len(test),
        "generated",
        _constellations_info(),
    )


def _constellations_info() -> DataInfo:
    return DataInfo(
        dataset=constellations.NAME,
        state="generated",
        samples="any number",
        sha256=fingerprint([constellations.NAME]),
        path="nowhere",
    )


_Filed = tuple[np.ndarray, str, str, str]


def _test_file(dataset: str, source: DataSource) -> _Filed | None:
    if dataset != MOVING_MNIST:
        return None
    return load_moving_test(root=source.root, download=source.download == "all")


def _still_info(still: Still) -> DataInfo:
    return DataInfo(
        dataset=still.name,
        state=still.state,
        samples=f"{len(still.train.labels)} train, {len(still.test.labels)} test",
        sha256=still.sha256,
        path=still.path,
    )


def _frames_info(still: Still) -> DataInfo:
    return DataInfo(
        dataset=f"{MOVING_MNIST} (frames)",
        state=f"generated from {still.state}",
        samples=f"frames of {len(still.train.labels)} train, {len(still.test.labels)} test images",
        sha256=fingerprint(["frames", still.sha256]),
        path=still.path,
    )


def _moving_info(dataset: str, still: Still, filed: _Filed | None) -> DataInfo:
    name = dataset if dataset == MOVING_MNIST else f"moving({dataset})"
    train = f"sequences of {len(still.train.labels)} train"
    if filed is None:
        return DataInfo(
            dataset=name,
            state=f"generated from {still.state}",
            samples=f"{train}, {len(still.test.labels)} test images",
            sha256=fingerprint(["clips", still.sha256]),
            path=still.path,
        )
    frames, state, sha256, path = filed
    return DataInfo(
        dataset=name,
        state=state if still.state == "official" else f"{state} test, train from {still.state}",
        samples=f"{train} images, {len(frames)} test sequences",
        sha256=fingerprint(["clips", still.sha256, sha256]),
        path=f"{still.path}, {path}",
    )
