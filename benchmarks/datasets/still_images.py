"""Holds the still images of a dataset in memory, and describes them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.datasets.dataset import Part
from benchmarks.datasets.task_data import Split
from benchmarks.records.record import DataInfo, DataState
from benchmarks.records.spec import fingerprint


@dataclass(frozen=True, eq=False)
class StillImages:
    """Holds the images of a dataset in memory."""

    name: str
    train: Split
    test: Split
    classes: int
    state: DataState
    sha256: str
    """Hash of images and labels of train and test: dtype, shape and bytes of the four arrays."""
    path: str
    """The folder of the files, or `rendered`."""

    def part(self, name: str) -> Part:
        """Describes one part of the dataset.

        Args:
            name: `train` or `test`.
        """
        images = {"train": self.train, "test": self.test}[name].images
        return Part(name, self.state, str(len(images)), images.shape[1:], self.sha256, self.path)


def still_info(still: StillImages) -> DataInfo:
    """Describes still images.

    Args:
        still: the images.

    Returns:
        The description.
    """
    return DataInfo(
        dataset=still.name,
        state=still.state,
        samples=f"{len(still.train.labels)} train, {len(still.test.labels)} test",
        sha256=still.sha256,
        path=still.path,
    )


def moving_info(name: str, still: StillImages) -> DataInfo:
    """Describes generated sequences in which the images of a dataset move.

    Args:
        name: the name of the dataset in the description, such as `moving(usps)`.
        still: the images that move.

    Returns:
        The description.
    """
    train, test = len(still.train.labels), len(still.test.labels)
    return DataInfo(
        dataset=name,
        state=f"{DataState.generated} from {still.state}",
        samples=f"sequences of {train} train, {test} test images",
        sha256=fingerprint(["clips", still.sha256]),
        path=still.path,
    )
