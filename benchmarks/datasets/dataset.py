"""Defines the interface of a dataset: its name, its column, and the samples of each task.

Importing this module is fast, because the command `list` prints the forms of all datasets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from benchmarks.datasets.task_data import GENERATED_EPOCH, held_out_count
from benchmarks.records.errors import InputError
from benchmarks.records.record import DataInfo
from benchmarks.records.spec import Budget

if TYPE_CHECKING:
    from benchmarks.datasets.frames import Frames
    from benchmarks.datasets.task_data import TaskData
    from models.variant import Shape


class Form(StrEnum):
    """Names the kind of samples that a task has on a dataset, in the words that `list` prints."""

    images = "images"
    """Still images with one class each."""
    two_digits = "2 digits"
    """Generated images of two digits of different classes."""
    moving = "moving"
    """Generated sequences in which the dataset's still images move."""
    frames = "frames"
    """The dataset itself consists of sequences of frames."""
    points = "points"
    """Generated sets of points in the plane."""


class Sizes(NamedTuple):
    """Counts samples: training samples per epoch, validation samples, test samples."""

    train: int
    validation: int
    test: int


class Part(NamedTuple):
    """Describes one part of a dataset, as one row of `capsbench data`."""

    part: str
    """`train`, `test`, or `both` if train and test are generated in the same way."""
    state: str
    samples: str
    shape: tuple[int, ...]
    """Shape of one sample."""
    sha256: str
    path: str


Download = Literal["none", "small", "all"]
"""Which missing files are downloaded; `small`: all except the Moving MNIST test file."""


@dataclass(frozen=True)
class DataSource:
    """Says where data comes from: the folder of the datasets, and what may be downloaded."""

    root: Path
    download: Download = "none"


class MissingDataError(InputError):
    """Reports that the files of a dataset are missing, and that the dataset has no stand-in."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset(ABC):
    """Defines the interface of a dataset. A subclass builds the samples of each task.

    A task that `forms` does not name is not run on the dataset.
    """

    name: str
    """The name of the dataset, which is also the name of its file."""
    column: int | None = None
    """The position among the columns of the tables; None: only single runs use the dataset."""

    class_names: tuple[str, ...] = ()
    """The names of the classes by label; empty: the labels are their names, or there are none."""

    forms: ClassVar[Mapping[str, Form]]
    """By name of the task, the kind of its samples."""

    @abstractmethod
    def shape_of(self, task: str, frames: Frames | None = None) -> Shape:
        """Returns the shape of a task's samples, without reading data.

        Args:
            task: its name, one of `forms`.
            frames: for prediction, number and size of the frames; by default 10 past and 10 future
                frames of 64×64 pixels.
        """

    @abstractmethod
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
        """Reads or generates the samples of a task.

        Args:
            task: its name, one of `forms`.
            budget: how many samples of each part are used.
            source: where the data is.
            seed: the seed of the run; only generated training samples depend on it.
            device: the device of the samples.
            frames: for prediction, number and size of the frames; by default 10 past and 10 future
                frames of 64×64 pixels.

        Returns:
            The samples for training, validation and test.

        Raises:
            InputError: if a file cannot be read, or is missing and there is no stand-in.
        """

    @abstractmethod
    def describe(self, task: str, *, budget: Budget, source: DataSource) -> DataInfo:
        """Describes the data of a task, without building samples.

        Args:
            task: its name, one of `forms`.
            budget: how many samples of each part are used; stand-ins are as large as needed.
            source: where the data is.

        Returns:
            The description, equal to that in the task data of `load`.

        Raises:
            InputError: if a file cannot be read, or is missing and there is no stand-in.
        """

    @abstractmethod
    def parts(self, *, budget: Budget, source: DataSource) -> list[Part]:
        """Describes the parts of the dataset.

        Args:
            budget: how many samples a stand-in has.
            source: where the data is.

        Returns:
            One description per part; one for both parts if they are generated in the same way.

        Raises:
            InputError: if a file cannot be read, or is missing and there is no stand-in.
        """

    @property
    def needs_files(self) -> bool:
        """Returns whether the dataset needs files: it is not generated and has no stand-in."""
        return False

    def generates(self, task: str) -> bool:
        """Returns whether the samples of a task are generated, so that their number is unlimited.

        Validation samples then do not reduce the number of training samples.

        Args:
            task: its name, one of `forms`.
        """
        return self.forms[task] is not Form.images

    def sizes_of(self, task: str, budget: Budget) -> Sizes:
        """Counts the samples of a run on the official data or on generated data.

        Args:
            task: its name, one of `forms`.
            budget: how many samples of each part are used.

        Returns:
            Training samples per epoch, validation samples, test samples.
        """
        train = budget.train_samples or GENERATED_EPOCH
        return Sizes(train, budget.validation_samples, budget.test_samples or GENERATED_EPOCH)

    def training_samples(self, task: str, *, budget: Budget, source: DataSource) -> int | None:
        """Counts the training samples before validation samples are held out.

        Args:
            task: its name, one of `forms`.
            budget: how many samples a stand-in has.
            source: where the data is.

        Returns:
            The number; None if the number is unlimited.

        Raises:
            InputError: if a file cannot be read, or is missing and there is no stand-in.
        """
        return None

    def require_samples(
        self, task: str, *, asked: Mapping[str, int], budget: Budget, source: DataSource
    ) -> None:
        """Checks that the dataset has as many training and validation samples as a user asked for.

        Args:
            task: its name, one of `forms`.
            asked: the fields of the budget that the user gave, by name.
            budget: the whole budget of the run.
            source: where the data is.

        Raises:
            InputError: if the dataset has fewer samples, or a file cannot be read, or is missing
                and there is no stand-in.
        """
        whole = self.training_samples(task, budget=budget, source=source)
        if whole is None:
            return
        held = held_out_count(budget.validation_samples, whole)
        most = {"validation_samples": held_out_count(whole, whole), "train_samples": whole - held}
        for name, limit in most.items():
            if asked.get(name, 0) > limit:
                raise InputError(
                    f"--{name.replace('_', '-')} {asked[name]}: {self.name} has {whole} training "
                    f"samples: give {limit} at most"
                )
