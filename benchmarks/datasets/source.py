"""From a dataset's name to its arrays: from disk, else downloaded, else a rendered stand-in.

Which of them it was is told in `Still.state`, and logged where a stand-in serves.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import moving_mnist, names
from benchmarks.datasets.files import Layout, Place, UnavailableError, blamed_on, obtain
from benchmarks.records.errors import InputError
from models.registry import nearest


@dataclass(frozen=True, eq=False)
class Split:
    """images: uint8 (N, C, H, W); labels: int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Still:
    """A dataset of still images, in memory."""

    name: str
    train: Split
    test: Split
    classes: int
    state: str
    """official (every file's checksum is the published one), unofficial (reads well but differs),
    partial (fewer samples than the official one) or stand-in (rendered here)."""
    sha256: str
    """Of the decoded arrays: dtype, shape and bytes of all four."""
    path: str
    """The folder it was read from, or `rendered`."""


@dataclass(frozen=True)
class Source:
    """What a dataset's file declares under the name `SOURCE`."""

    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    classes: int
    samples: tuple[int, int]
    """Official numbers of train and test images."""
    layouts: tuple[Layout, ...]
    """Tried in this order; the first is the one that is downloaded."""
    join: Callable[[list[Any]], tuple[Split, Split]]
    """Train and test from the decoded files of a layout."""
    render: Callable[[str, int], Split]
    """The stand-in: ("train" or "test", number of samples)."""


_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()


def load_still(
    name: str,
    *,
    root: Path,
    download: bool,
    train_samples: int | None = None,
    test_samples: int | None = None,
) -> Still:
    """A dataset of still images; a second call in a process returns the same arrays.

    `train_samples` and `test_samples` size a stand-in (None: as the official one); real data
    always comes whole. Raises InputError for a file that is bad or missing among its companions.
    """
    with _one_at_a_time:
        real = _real(name, Path(root).absolute(), download)
        return real or _stand_in(name, train_samples, test_samples)


def official(name: str) -> Source:
    """Returns the source of a dataset of still images: files, shapes, numbers of samples.

    Raises InputError if no dataset of still images has this name.
    """
    module = importlib.import_module(f"{__package__}.{name}") if name in names() else None
    source = getattr(module, "SOURCE", None)
    if source is None:
        still = [known for known in names() if known != "moving_mnist"]
        raise InputError(f"no dataset of still images is called {name!r}: {nearest(name, still)}")
    return source


def load_moving_test(*, root: Path, download: bool) -> tuple[np.ndarray, str, str, str] | None:
    """The standard Moving MNIST test file: frames, state, SHA-256 and folder; None without it.

    Frames are uint8 (10000, 20, 1, 64, 64), mapped from the file, not read.
    """
    with _one_at_a_time:
        return _moving_test(Path(root).absolute(), download)


@cache
def _real(name: str, root: Path, download: bool) -> Still | None:
    source = official(name)
    try:
        place = obtain(source.layouts, root, download=download)
    except UnavailableError as reason:
        _log.warning("%s: not found under %s (%s); a stand-in serves", name, root, reason)
        return None
    parts = place.decoded()
    with blamed_on(place.folder):
        train, test = source.join(parts)
        _check(source, "train", train)
        _check(source, "test", test)
    fewer = any(len(s.labels) < n for s, n in zip((train, test), source.samples, strict=True))
    return Still(
        name=name,
        train=train,
        test=test,
        classes=source.classes,
        state=_state(place, partial=fewer),
        sha256=_fingerprint((train.images, train.labels, test.images, test.labels)),
        path=str(place.folder),
    )


@cache
def _stand_in(name: str, train_samples: int | None, test_samples: int | None) -> Still:
    source = official(name)
    train = source.render("train", source.samples[0] if train_samples is None else train_samples)
    test = source.render("test", source.samples[1] if test_samples is None else test_samples)
    return Still(
        name=name,
        train=train,
        test=test,
        classes=source.classes,
        state="stand-in",
        sha256=_fingerprint((train.images, train.labels, test.images, test.labels)),
        path="rendered",
    )


@cache
def _moving_test(root: Path, download: bool) -> tuple[np.ndarray, str, str, str] | None:
    try:
        place = obtain((moving_mnist.LAYOUT,), root, download=download)
    except UnavailableError as reason:
        if download:
            _log.warning("moving_mnist: %s; its test clips are generated", reason)
        return None
    (frames,) = place.decoded()
    state = _state(place, partial=len(frames) < moving_mnist.SEQUENCES)
    return frames, state, _fingerprint((frames,)), str(place.folder)


def _state(place: Place, *, partial: bool) -> str:
    if partial:
        return "partial"
    return "official" if place.official() else "unofficial"


def _check(source: Source, part: str, split: Split) -> None:
    images, labels = split.images, split.labels
    if images.dtype != np.uint8 or images.shape[1:] != source.shape:
        raise ValueError(f"its {part} images are {images.shape[1:]}, not {source.shape}")
    if not len(images) or labels.shape != (len(images),):
        raise ValueError(f"it has {len(images)} {part} images and labels {labels.shape}")
    if labels.min() < 0 or labels.max() >= source.classes:
        raise ValueError(f"its {part} labels are not all in 0..{source.classes - 1}")


def _fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 over each array's dtype, shape and bytes in C order, some rows at a time."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, len(array), 1000):
            digest.update(np.ascontiguousarray(array[start : start + 1000]).data)
    return digest.hexdigest()
