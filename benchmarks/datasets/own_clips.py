"""Defines the user's own datasets of clips: sequences of frames, whose next frames are predicted.

A dataset of clips is stored as `own_datasets.py` stores images, with two arrays and no labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from benchmarks.datasets.dataset import Dataset, DataSource, Form, Part, Sizes
from benchmarks.datasets.task_data import (
    TEST_SEED,
    TaskData,
    choose_at_random,
    held_out_count,
    selection_kind,
)
from benchmarks.records.errors import InputError
from benchmarks.records.record import DataInfo, DataState
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import Budget, Frozen

if TYPE_CHECKING:
    from benchmarks.datasets.frames import Frames
    from models.variant import ClipShape

ARRAYS = ("train_clips", "test_clips")
SIDE = 64
"""Height and width of a stored frame, as of Moving MNIST; `size` makes frames smaller in a run."""


class ClipsHeader(Frozen):
    """Describes an own dataset of clips; it is stored as JSON in the metadata of the file."""

    version: int = Field(1, ge=1, le=1)
    kind: Literal["clips"] = "clips"
    name: str
    shape: tuple[int, int, int, int] = Field(
        description="frames of a clip, channels, height and width of a frame"
    )
    samples: tuple[int, int] = Field(description="numbers of training and test clips")
    sha256: str = Field(description="fingerprint of the two arrays")
    source: str = Field(description="path of what was added")
    notes: tuple[str, ...] = Field(description="what was changed or left out, in sentences")


class AddedClips(NamedTuple):
    """Holds the clips of a dataset that is to be stored."""

    train: np.ndarray
    """(N, frames, channels, 64, 64) uint8."""
    test: np.ndarray
    """(M, frames, channels, 64, 64) uint8."""
    notes: tuple[str, ...]
    """What was changed or left out, in sentences."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ClipDataset(Dataset):
    """Holds clips of a user. Runs train on some of the training clips, and validate on others."""

    header: ClipsHeader
    path: Path
    """The file of the dataset."""
    remedy: str
    """What to do about a damaged file."""

    forms: ClassVar[Mapping[str, Form]] = {"prediction": Form.frames}

    @property
    def needs_files(self) -> bool:
        return True

    def generates(self, task: str) -> bool:
        return False

    def shape_of(self, task: str, frames: Frames | None = None) -> ClipShape:
        from benchmarks.datasets.frames import Frames

        return (frames or Frames()).shape(self.header.shape[1])

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
        import torch

        from benchmarks.datasets.frames import Frames
        from benchmarks.datasets.sequences import FiledClips

        asked = frames or Frames()
        if asked.past + asked.future > self.header.shape[0]:
            raise InputError(
                f"{self.name} has clips of {self.header.shape[0]} frames: {asked.past} past and "
                f"{asked.future} future frames are too many: reduce --set past or --set future"
            )
        whole, test = _read_arrays(self)
        order = choose_at_random(len(whole), len(whole), seed=derive_seed(0, clips="validation"))
        kept, held, _ = self.sizes_of(task, budget)
        chosen = choose_at_random(len(test), budget.test_samples or len(test), seed=TEST_SEED)

        def clips(array: np.ndarray, index: np.ndarray) -> FiledClips:
            return FiledClips(torch.from_numpy(array[np.sort(index)]).to(device), asked)

        return TaskData(
            shape=self.shape_of(task, asked),
            train=clips(whole, order[held : held + kept]),
            validation=clips(whole, order[:held]) if held else None,
            test=clips(test, chosen),
            test_of=len(test),
            test_selection=selection_kind(len(test), budget, "random"),
            info=self.describe(task, budget=budget, source=source),
        )

    def describe(self, task: str, *, budget: Budget, source: DataSource) -> DataInfo:
        train, test = self.header.samples
        return DataInfo(
            dataset=self.name,
            state=DataState.own,
            samples=f"{train} train, {test} test clips",
            sha256=self.header.sha256,
            path=str(self.path.parent),
        )

    def parts(self, *, budget: Budget, source: DataSource) -> list[Part]:
        header, path = self.header, str(self.path.parent)
        return [
            Part(name, DataState.own, str(count), header.shape, header.sha256, path)
            for name, count in zip(("train", "test"), header.samples, strict=True)
        ]

    def sizes_of(self, task: str, budget: Budget) -> Sizes:
        train, test = self.header.samples
        held = held_out_count(budget.validation_samples, train)
        kept = min(budget.train_samples or train, train - held)
        return Sizes(kept, held, min(budget.test_samples or test, test))

    def training_samples(self, task: str, *, budget: Budget, source: DataSource) -> int | None:
        return self.header.samples[0]


@lru_cache(maxsize=4)
def _read_arrays(dataset: ClipDataset) -> tuple[np.ndarray, np.ndarray]:
    """Reads the training and the test clips of a dataset. A second call returns the same arrays.

    Raises:
        InputError: if the file cannot be read, or its arrays differ from its fingerprint.
    """
    from safetensors.numpy import load_file

    from benchmarks.datasets.data_files import explain_read_errors, fingerprint_of

    with explain_read_errors(dataset.path, dataset.remedy):
        arrays = load_file(dataset.path)
        train, test = (arrays[name] for name in ARRAYS)
        if fingerprint_of((train, test)) != dataset.header.sha256:
            raise ValueError("its arrays differ from its fingerprint")
    return train, test
