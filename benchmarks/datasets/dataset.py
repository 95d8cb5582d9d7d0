"""What every dataset is: a name, a column of the tables, and what each task sees of it.

No import here is slow: `list` asks datasets for their forms.
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
    from benchmarks.datasets.sequences import Frames
    from benchmarks.datasets.task_data import TaskData
    from models.variant import Shape


class Form(StrEnum):
    """Names what a task sees of a dataset, in the words that `list` prints."""

    images = "images"
    """Still images with one class each."""
    two_digits = "2 digits"
    """Generated images of two digits of different classes."""
    moving = "moving"
    """Sequences in which the dataset's images move; they are generated."""
    frames = "frames"
    """Sequences of frames: the dataset consists of them."""
    points = "points"
    """Generated sets of points in the plane."""


class Sizes(NamedTuple):
    """Numbers of samples: of training in an epoch, of validation, of test."""

    train: int
    validation: int
    test: int


class Part(NamedTuple):
    """One part of a dataset, as `python -m benchmarks data` prints it."""

    part: str
    """`train`, `test`, or `both` where the two are generated alike."""
    state: str
    samples: str
    shape: tuple[int, ...]
    """Shape of one sample."""
    sha256: str
    path: str


Download = Literal["none", "small", "all"]
"""What may be downloaded: `small` is all but the Moving MNIST test file."""


@dataclass(frozen=True)
class DataSource:
    """Where data comes from."""

    root: Path
    download: Download = "none"


class MissingDataError(InputError):
    """The files of a dataset are not on disk, and it has no stand-in."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset(ABC):
    """One dataset. A subclass decides how a kind of data serves each task.

    A task that `forms` does not name is not run on the dataset.
    """

    name: str
    """The name of its file."""
    column: int | None = None
    """Its place among the columns of the tables; None: it is no column, single runs may name it."""

    forms: ClassVar[Mapping[str, Form]]
    """What each task sees of it, by the task's name."""

    @abstractmethod
    def shape_of(self, task: str, frames: Frames | None = None) -> Shape:
        """Returns the shape of a task's samples, as `load` does, without reading data.

        Args:
            task: its name, one of `forms`.
            frames: which frames, for prediction; by default 10 → 10 of 64×64.
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
        """Builds the samples of a task.

        Args:
            task: its name, one of `forms`.
            budget: how many samples of each part.
            source: where the data is.
            seed: decides generated training samples, and nothing else.
            device: where the samples are put.
            frames: which frames, for prediction; by default 10 → 10 of 64×64.

        Raises:
            InputError: if a file cannot be read, or is missing and there is no stand-in.
        """

    @abstractmethod
    def describe(self, task: str, *, budget: Budget, source: DataSource) -> DataInfo:
        """Describes the data of a task, as `load` does, without building samples.

        Raises:
            InputError: as `load` does.
        """

    @abstractmethod
    def parts(self, *, budget: Budget, source: DataSource) -> list[Part]:
        """Lists what there is of the dataset. A stand-in is as large as `budget` asks for.

        Raises:
            InputError: as `load` does.
        """

    @property
    def needs_files(self) -> bool:
        """Whether it can only be loaded from files: it is not generated and has no stand-in."""
        return False

    def generates(self, task: str) -> bool:
        """Answers whether a task's training samples are generated, and thus without end.

        Validation samples then do not reduce them.
        """
        return self.forms[task] is not Form.images

    def sizes_of(self, task: str, budget: Budget) -> Sizes:
        """Counts the samples of a run on the official data, or on generated data."""
        train = budget.train_samples or GENERATED_EPOCH
        return Sizes(train, budget.validation_samples, budget.test_samples or GENERATED_EPOCH)

    def training_samples(self, task: str, *, budget: Budget, source: DataSource) -> int | None:
        """Counts the training samples on disk, before any are held out; None: without limit.

        Raises:
            InputError: as `load` does.
        """
        return None

    def require_samples(
        self, task: str, *, asked: Mapping[str, int], budget: Budget, source: DataSource
    ) -> None:
        """Checks that there are as many training samples as a user asked for.

        Args:
            task: its name, one of `forms`.
            asked: the fields of the budget that the user gave.
            budget: the whole budget of the run.
            source: where the data is.

        Raises:
            InputError: if there are fewer samples, and as `load` does.
        """
        whole = self.training_samples(task, budget=budget, source=source)
        if whole is None:
            return
        held = held_out_count(budget.validation_samples, whole)
        most = {"validation_samples": held_out_count(whole, whole), "train_samples": whole - held}
        for name, limit in most.items():
            if asked.get(name, 0) > limit:
                raise InputError(
                    f"--{name.replace('_', '-')} {asked[name]}: of the {whole} training images of "
                    f"{self.name} it can be {limit} at most"
                )
