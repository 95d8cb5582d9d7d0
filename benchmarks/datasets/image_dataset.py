"""Reads datasets of still images: from disk, else by download, else as a rendered stand-in.

The state of the data says which of these it was. If a stand-in is used, a warning is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchmarks.datasets.data_files import (
    READ_LOCK,
    Layout,
    Place,
    explain_read_errors,
    fingerprint_of,
    read_first,
    require_no_lookalike,
    state_of,
)
from benchmarks.datasets.dataset import (
    Dataset,
    DataSource,
    Form,
    MissingDataError,
    Part,
    Sizes,
)
from benchmarks.datasets.downloads import UnavailableError, find_or_download
from benchmarks.datasets.still_images import StillImages, moving_info, still_info
from benchmarks.datasets.task_data import (
    SPRITES,
    TEST_SEED,
    Split,
    TaskData,
    choose_stratified,
    held_out_count,
    selection_kind,
    split_validation,
    take_images,
)
from benchmarks.records.record import DataInfo, DataState
from benchmarks.records.spec import Budget

if TYPE_CHECKING:
    from benchmarks.datasets.frames import Frames
    from models.variant import Shape

_log = logging.getLogger(__name__)


def join_parts(parts: list[Any]) -> tuple[Split, Split]:
    """Joins decoded files that already hold splits: one file per split, or one file of both.

    Args:
        parts: the training and the test images, or a list of one list of these two.

    Returns:
        The training images and the test images.
    """
    train, test = parts[0] if len(parts) == 1 else parts
    return train, test


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageDataset(Dataset):
    """Reads a dataset of still images with one class each, and builds the samples of each task.

    Classification and autoencoding use the images. Prediction uses sequences in which the images
    move: two grey images per sequence, or one colour image.
    """

    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    classes: int
    """Number of classes."""
    samples: tuple[int, int]
    """Official numbers of training and test images."""
    layouts: tuple[Layout, ...]
    """Ways in which the files may be stored, in the order of search; the first is downloaded."""
    join: Callable[[list[Any]], tuple[Split, Split]] = join_parts
    """Joins the decoded files of a layout to the training and the test images."""
    render: Callable[[str, int], Split] | None = None
    """Renders a stand-in from a part, `train` or `test`, and a number of samples; None: the dataset
    has no stand-in."""
    state: DataState | None = None
    """The state of the data; None: checksums and numbers of samples decide it."""
    lookalike: str = "(?!)"
    """A regular expression of file names that look like the dataset. If such a file is found in the
    data folder, and the dataset is not, the file is named, and no stand-in is used."""

    forms: ClassVar[Mapping[str, Form]] = {
        "classification": Form.images,
        "autoencoding": Form.images,
        "prediction": Form.moving,
    }

    @property
    def needs_files(self) -> bool:
        return self.render is None

    def read(
        self,
        source: DataSource,
        *,
        train_samples: int | None = None,
        test_samples: int | None = None,
    ) -> StillImages:
        """Reads or renders the images; a second call in a process returns the same arrays.

        Args:
            source: where the data is.
            train_samples: number of training images of a stand-in; by default the official number.
                Real data is always read completely.
            test_samples: number of test images of a stand-in; by default the official number.

        Returns:
            The training and the test images.

        Raises:
            InputError: if a file cannot be read, or only some of the files are available.
            MissingDataError: if no file is available, and the dataset has no stand-in.
        """
        root = Path(source.root).absolute()
        with READ_LOCK:
            real = _real(self, root, source.download != "none")
            return real or _stand_in(self, train_samples, test_samples)

    def read_sprites(self, budget: Budget, source: DataSource) -> StillImages:
        """Reads or renders the images that generated sequences show.

        Args:
            budget: how many samples a run uses.
            source: where the data is.

        Returns:
            The images; a stand-in has at least `SPRITES` training and `SPRITES` test images.

        Raises:
            InputError: if a file cannot be read, or only some of the files are available.
            MissingDataError: if no file is available, and the dataset has no stand-in.
        """
        return self._read(SPRITES, SPRITES, budget, source)

    def _read_images(self, budget: Budget, source: DataSource) -> StillImages:
        return self._read(budget.train_samples, budget.test_samples, budget, source)

    def _read(
        self, train: int | None, test: int | None, budget: Budget, source: DataSource
    ) -> StillImages:
        held = budget.validation_samples
        # At most a fifth of the images is held out, so a stand-in needs five times as many images.
        rendered = None if train is None else max(train, 4 * held) + held
        return self.read(source, train_samples=rendered, test_samples=test)

    # These methods import torch late, because the command `list` asks only for the forms.

    def shape_of(self, task: str, frames: Frames | None = None) -> Shape:
        from benchmarks.datasets.frames import Frames
        from models.variant import ImageShape

        if self.generates(task):
            return (frames or Frames()).shape(self.shape[0])
        return ImageShape(*self.shape, self.classes)

    def load(
        self,
        task: str,
        *,
        budget: Budget,
        source: DataSource,
        seed: int,
        device: str = "cpu",
        frames: Frames | None = None,
    ) -> TaskData:
        from benchmarks.datasets.frames import Frames
        from benchmarks.datasets.sequences import moving_sequences

        if self.generates(task):
            still = self.read_sprites(budget, source)
            return moving_sequences(
                still,
                moving_info(f"moving({self.name})", still),
                frames or Frames(),
                budget=budget,
                seed=seed,
                device=device,
            )
        return self._images(self._read_images(budget, source), budget, device)

    def _images(self, still: StillImages, budget: Budget, device: str) -> TaskData:
        from benchmarks.datasets.samples import StillSamples

        def samples_of(split: Split) -> StillSamples:
            return StillSamples.of(split.images, split.labels, device)

        cut, held_out = split_validation(
            still.train, validation=budget.validation_samples, kept=budget.train_samples
        )
        of = len(still.test.labels)
        test, chosen = still.test, selection_kind(of, budget, "stratified")
        if chosen != "all":
            assert budget.test_samples is not None
            test = take_images(
                test, choose_stratified(test.labels, budget.test_samples, seed=TEST_SEED)
            )
        return TaskData(
            shape=self.shape_of("classification"),
            train=samples_of(cut),
            validation=samples_of(held_out) if budget.validation_samples else None,
            test=samples_of(test),
            test_of=of,
            test_selection=chosen,
            info=still_info(still),
        )

    def describe(self, task: str, *, budget: Budget, source: DataSource) -> DataInfo:
        if self.generates(task):
            return moving_info(f"moving({self.name})", self.read_sprites(budget, source))
        return still_info(self._read_images(budget, source))

    def parts(self, *, budget: Budget, source: DataSource) -> list[Part]:
        still = self.read(
            source, train_samples=budget.train_samples, test_samples=budget.test_samples
        )
        return [still.part("train"), still.part("test")]

    def sizes_of(self, task: str, budget: Budget) -> Sizes:
        if self.generates(task):
            return super().sizes_of(task, budget)
        train, test = self.samples
        held = held_out_count(budget.validation_samples, train)
        kept = min(budget.train_samples or train, train - held)
        return Sizes(kept, held, min(budget.test_samples or test, test))

    def training_samples(self, task: str, *, budget: Budget, source: DataSource) -> int | None:
        if self.generates(task):
            return None
        return len(self._read_images(budget, source).train.labels)


@cache
def _real(dataset: ImageDataset, root: Path, download: bool) -> StillImages | None:
    """Reads the real images; None if they are not available and a stand-in can be rendered."""
    try:
        places = find_or_download(dataset.layouts, root, download=download)
    except UnavailableError as reason:
        if dataset.render is None:
            raise _missing(dataset, root, reason) from None
        require_no_lookalike(
            dataset.name, root, dataset.lookalike, _official(dataset.layouts[0], root), reason
        )
        _log.warning(
            "%s: not found in %s (%s): using a stand-in; --data names another folder",
            dataset.name,
            root,
            reason,
        )
        return None
    return read_first(places, lambda place: _read_place(dataset, place))


def _read_place(dataset: ImageDataset, place: Place) -> StillImages:
    parts = place.decoded()
    with explain_read_errors(place.folder, place.layout.remedy):
        train, test = dataset.join(parts)
        _check(dataset, "train", train)
        _check(dataset, "test", test)
    fewer = any(len(s.labels) < n for s, n in zip((train, test), dataset.samples, strict=True))
    return StillImages(
        name=dataset.name,
        train=train,
        test=test,
        classes=dataset.classes,
        state=dataset.state or state_of(place, partial=fewer),
        sha256=fingerprint_of((train.images, train.labels, test.images, test.labels)),
        path=str(place.folder),
    )


def _missing(dataset: ImageDataset, root: Path, reason: Exception) -> MissingDataError:
    return MissingDataError(
        f"{dataset.name} is not on disk ({reason}) and has no stand-in: put "
        f"{_official(dataset.layouts[0], root)}, or name another folder with --data"
    )


def _official(layout: Layout, root: Path) -> str:
    """Says which files go where, as `FILES into FOLDER`."""
    return f"{', '.join(f.name for f in layout.files)} into {root / layout.folders[0]}"


@cache
def _stand_in(
    dataset: ImageDataset, train_samples: int | None, test_samples: int | None
) -> StillImages:
    assert dataset.render is not None, "without a stand-in, missing data is refused"
    most_train, most_test = dataset.samples
    train = dataset.render("train", most_train if train_samples is None else train_samples)
    test = dataset.render("test", most_test if test_samples is None else test_samples)
    return StillImages(
        name=dataset.name,
        train=train,
        test=test,
        classes=dataset.classes,
        state=DataState.stand_in,
        sha256=fingerprint_of((train.images, train.labels, test.images, test.labels)),
        path="rendered",
    )


def _check(dataset: ImageDataset, part: str, split: Split) -> None:
    images, labels = split.images, split.labels
    if images.dtype != np.uint8 or images.shape[1:] != dataset.shape:
        raise ValueError(f"its {part} images are {images.shape[1:]}, not {dataset.shape}")
    if not len(images) or labels.shape != (len(images),):
        raise ValueError(f"it has {len(images)} {part} images and labels {labels.shape}")
    if labels.min() < 0 or labels.max() >= dataset.classes:
        raise ValueError(f"its {part} labels are not all in 0..{dataset.classes - 1}")
