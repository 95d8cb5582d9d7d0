"""Builds Moving MNIST: two bouncing digits (Srivastava, Mansimov, Salakhutdinov 2015).

Prediction is trained on generated sequences of MNIST's training digits. Its test sequences are
those of the authors' file (10,000 sequences of 20 frames) if this file is on disk, and otherwise
generated sequences of MNIST's test digits. Classification and autoencoding use single generated
frames of two digits of different classes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from benchmarks.datasets import mnist
from benchmarks.datasets.array_files import NPY, read_arrays, to_pixels
from benchmarks.datasets.data_files import (
    READ_LOCK,
    File,
    Layout,
    Place,
    fingerprint_of,
    read_first,
    require_no_lookalike,
    state_of,
)
from benchmarks.datasets.dataset import Dataset, DataSource, Form, Part
from benchmarks.datasets.downloads import UnavailableError, find_or_download
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.still_images import StillImages, moving_info
from benchmarks.datasets.task_data import TEST_SEED, TaskData, choose_at_random, selection_kind
from benchmarks.records.errors import InputError
from benchmarks.records.record import DataInfo, DataState
from benchmarks.records.spec import Budget, fingerprint

if TYPE_CHECKING:
    from benchmarks.datasets.frames import Frames
    from models.variant import ClipShape, ImageShape

SEQUENCES, FRAMES = 10_000, 20
_log = logging.getLogger(__name__)


def read_frames(path: Path) -> np.ndarray:
    """Reads the authors' test file, or a copy of it in another form.

    The authors' array is uint8 (20, N, 64, 64): frames, sequences, height, width. It is mapped into
    memory, copy-on-write. An array in another order, (N, 20, 64, 64), with a channel axis of length
    1 behind the second or the last axis, of another numeric type, or in an .npz file is copied.

    Args:
        path: the file.

    Returns:
        uint8 (N, 20, 1, 64, 64): sequences, frames, channels, height, width.

    Raises:
        ValueError: if the file holds something else, or sequences and frames look alike.
    """
    array = _mapped(path)
    shape = array.shape
    if array.ndim == 5 and 1 in (shape[2], shape[4]):
        array = array[:, :, 0] if shape[2] == 1 else array[..., 0]
    if array.ndim != 4 or array.shape[2:] != (64, 64) or FRAMES not in array.shape[:2]:
        raise ValueError(f"it holds {array.dtype} {shape}, not uint8 (20, 10000, 64, 64)")
    if array.shape[:2] == (FRAMES, FRAMES):
        raise ValueError(
            f"it holds {shape}, which is as many frames as sequences: store another number of "
            "sequences"
        )
    if array.shape[0] == FRAMES:
        array = array.transpose(1, 0, 2, 3)
    if not 0 < len(array) <= SEQUENCES:
        raise ValueError(f"it holds {len(array)} sequences, not 1 to {SEQUENCES}")
    return to_pixels(array)[:, :, None]


def _mapped(path: Path) -> np.ndarray:
    """Maps the array of an .npy file into memory, or reads the one array of an .npz file."""
    with path.open("rb") as stream:
        if stream.read(len(NPY)) == NPY:
            return np.lib.format.open_memmap(path, mode="c")
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise ValueError(f"it holds {len(arrays)} arrays, not one")
    return next(iter(arrays.values()))


LAYOUT = Layout(
    folders=("MovingMNIST", "moving_mnist", "MovingMNIST/raw", ".", "raw"),
    files=(
        File(
            "mnist_test_seq.npy",
            "be083ec986bfe91a449d63653c411eb2",
            "http://www.cs.toronto.edu/~nitish/unsupervised_video/mnist_test_seq.npy",
            other_names=("mnist_test_seq.npz", "moving_mnist.npy", "moving_mnist.npz"),
        ),
    ),
    decode=read_frames,
)
LOOKALIKE = r"mnist_test_seq|^(?=.*moving.?mnist).*\.(npy|npz|h5|hdf5|mat|zip|gz|tar|parquet)$"
"""Files that look like the test file. The folder of Moving MNIST may also hold MNIST's files."""


class TestFile(NamedTuple):
    """Holds the test sequences of the authors' file."""

    frames: np.ndarray
    """(N, 20, 1, 64, 64) uint8, mapped from the file into memory."""
    state: DataState
    sha256: str
    path: str
    """The folder in which the file is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MovingMNIST(Dataset):
    """Builds frames and sequences of two moving digits; prediction has a standard test file."""

    digits: ImageDataset
    """The dataset of the digits that move."""

    forms: ClassVar[Mapping[str, Form]] = {
        "classification": Form.two_digits,
        "autoencoding": Form.two_digits,
        "prediction": Form.frames,
    }

    @property
    def needs_files(self) -> bool:
        return self.digits.needs_files

    # These methods import torch late, because the command `list` asks only for the forms.

    def shape_of(self, task: str, frames: Frames | None = None) -> ImageShape | ClipShape:
        from benchmarks.datasets.frames import Frames
        from benchmarks.datasets.sequences import two_digit_shape

        channels = self.digits.shape[0]
        if task == "prediction":
            return (frames or Frames()).shape(channels)
        return two_digit_shape(channels, self.digits.classes)

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
        from benchmarks.datasets.sequences import moving_sequences, two_digit_frames

        still = self.digits.read_sprites(budget, source)
        if task != "prediction":
            info = self._frames_info(still)
            return two_digit_frames(still, info, budget=budget, seed=seed, device=device)
        file = read_test_file(source)
        info = self._sequences_info(still, file)
        frames = frames or Frames()
        data = moving_sequences(still, info, frames, budget=budget, seed=seed, device=device)
        return data if file is None else _tested_on(file, data, frames, budget, device)

    def describe(self, task: str, *, budget: Budget, source: DataSource) -> DataInfo:
        still = self.digits.read_sprites(budget, source)
        if task != "prediction":
            return self._frames_info(still)
        return self._sequences_info(still, read_test_file(source))

    def parts(self, *, budget: Budget, source: DataSource) -> list[Part]:
        file = read_test_file(source)
        if file is not None:
            shape, samples = file.frames.shape[1:], str(len(file.frames))
            return [Part("test", file.state, samples, shape, file.sha256, file.path)]
        info = self.describe("prediction", budget=budget, source=source)
        shape = (FRAMES, *self.shape_of("prediction")[:3])
        return [Part("both", info.state, "any", shape, info.sha256, info.path)]

    def _frames_info(self, still: StillImages) -> DataInfo:
        train, test = len(still.train.labels), len(still.test.labels)
        return DataInfo(
            dataset=f"{self.name} (frames)",
            state=f"{DataState.generated} from {still.state}",
            samples=f"frames of {train} train, {test} test images",
            sha256=fingerprint(["frames", still.sha256]),
            path=still.path,
        )

    def _sequences_info(self, still: StillImages, file: TestFile | None) -> DataInfo:
        if file is None:
            return moving_info(self.name, still)
        official = still.state is DataState.official
        return DataInfo(
            dataset=self.name,
            state=file.state if official else f"{file.state} test, train from {still.state}",
            samples=f"sequences of {len(still.train.labels)} train images, "
            f"{len(file.frames)} test sequences",
            sha256=fingerprint(["clips", still.sha256, file.sha256]),
            path=f"{still.path}, {file.path}",
        )


def _tested_on(
    file: TestFile, data: TaskData, frames: Frames, budget: Budget, device: str
) -> TaskData:
    """Replaces generated test sequences by those of the file, or by a seeded subset of them."""
    import torch

    from benchmarks.datasets.sequences import FiledClips

    sequences, of = file.frames, len(file.frames)
    if frames.past + frames.future > sequences.shape[1]:
        raise InputError(
            f"{file.path} has sequences of {sequences.shape[1]} frames: {frames.past} past "
            f"and {frames.future} future frames are too many: reduce --set past or --set future"
        )
    chosen = selection_kind(of, budget, "random")
    if chosen != "all":
        assert budget.test_samples is not None
        sequences = sequences[np.sort(choose_at_random(of, budget.test_samples, seed=TEST_SEED))]
    test = FiledClips(torch.from_numpy(sequences).to(device), frames)
    return replace(data, test=test, test_of=of, test_selection=chosen)


def read_test_file(source: DataSource) -> TestFile | None:
    """Reads the authors' test file; a second call in a process returns the same arrays.

    Args:
        source: where the data is. The file is downloaded only if `source.download` is `all`.

    Returns:
        The test sequences; None if the file is neither on disk nor downloaded.

    Raises:
        InputError: if the file cannot be read.
    """
    with READ_LOCK:
        return _test_file(Path(source.root).absolute(), source.download == "all")


@cache
def _test_file(root: Path, download: bool) -> TestFile | None:
    try:
        places = find_or_download((LAYOUT,), root, download=download)
    except UnavailableError as reason:
        official = f"mnist_test_seq.npy into {root / LAYOUT.folders[0]}"
        require_no_lookalike("moving_mnist", root, LOOKALIKE, official, reason)
        if download:
            _log.warning("moving_mnist: no test file (%s): test clips are generated", reason)
        return None
    return read_first(places, _read_place)


def _read_place(place: Place) -> TestFile:
    (frames,) = place.decoded()
    state = state_of(place, partial=len(frames) < SEQUENCES)
    return TestFile(frames, state, fingerprint_of((frames,)), str(place.folder))


DATASET = MovingMNIST(name="moving_mnist", column=1, digits=mnist.DATASET)
