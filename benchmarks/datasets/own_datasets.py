"""Stores and finds the user's own datasets: one definition of their format.

The dataset `pets` is the file `own/pets.safetensors` in the data folder. It holds four arrays,
training images and labels, test images and labels, and a header that describes them. A dataset of
clips holds two arrays, training and test clips (`own_clips.py`). The file is
written once, by `capsbench data add`, and read like the files of any other dataset.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field, ValidationError

from benchmarks.datasets.data_files import File, Layout, fingerprint_of
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.own_clips import ARRAYS as CLIP_ARRAYS
from benchmarks.datasets.own_clips import AddedClips, ClipDataset, ClipsHeader
from benchmarks.datasets.own_files import OWN_FOLDER, own_name, own_path
from benchmarks.datasets.task_data import Split
from benchmarks.records.atomic_files import replacing
from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.record import DataState
from benchmarks.records.spec import Frozen

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A name of a dataset is part of file names, of run ids and of patterns of cells."""
COLUMN = 1_000
"""Place of own datasets among the columns of the tables, behind all others."""
_KEY = "capsbench"
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_LONGEST_HEADER = 1 << 24


class Header(Frozen):
    """Describes an own dataset; it is stored as JSON in the metadata of the file."""

    version: int = Field(1, ge=1, le=1)
    name: str = Field(pattern=f"^{NAME.pattern}$")
    shape: tuple[int, int, int] = Field(description="channels, height and width of an image")
    classes: tuple[str, ...] = Field(min_length=2, description="names of the classes, by label")
    samples: tuple[int, int] = Field(description="numbers of training and test images")
    sha256: str = Field(description="fingerprint of the four arrays")
    source: str = Field(description="path of what was added")
    notes: tuple[str, ...] = Field(description="what was changed or left out, in sentences")


AnyHeader = Header | ClipsHeader


class Added(NamedTuple):
    """Holds the images and classes of a dataset that is to be stored."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    """What was changed or left out, in sentences."""


def store(
    root: Path, name: str, source: Path, added: Added | AddedClips, *, replace: bool
) -> AnyHeader:
    """Stores an own dataset. A file with the same arrays is left as it is.

    Args:
        root: the folder of the datasets.
        name: the name of the dataset, which no other kind of dataset has.
        source: the path of what was added.
        added: the images and classes, or the clips.
        replace: whether a dataset of this name with other arrays is replaced.

    Returns:
        The header of the stored file.

    Raises:
        InputError: if there is such a dataset with other arrays, and `replace` is false.
        OSError: if the file cannot be written.
    """
    from safetensors.numpy import save_file

    header, arrays = _described(name, str(source.absolute()), added)
    path = own_path(root, name)
    if path.exists() and not replace:
        stored = read_header(path)
        own = {"source", "notes"}
        if stored.model_dump(exclude=own) == header.model_dump(exclude=own):
            return stored
        raise InputError(
            f"{path} is another dataset called {name}, from {stored.source}: add this one under "
            "another name, or replace that one with --replace"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with replacing(path) as temporary:
        save_file(contiguous, temporary, {_KEY: header.model_dump_json()})
    return header


def _described(
    name: str, source: str, added: Added | AddedClips
) -> tuple[AnyHeader, dict[str, np.ndarray]]:
    """Makes the header and the named arrays of a dataset."""
    if isinstance(added, AddedClips):
        clips = dict(zip(CLIP_ARRAYS, (added.train, added.test), strict=True))
        frames, channels, height, width = added.train.shape[1:]
        return ClipsHeader(
            name=name,
            shape=(frames, channels, height, width),
            samples=(len(added.train), len(added.test)),
            sha256=fingerprint_of(clips.values()),
            source=source,
            notes=added.notes,
        ), clips
    parts = (added.train.images, added.train.labels, added.test.images, added.test.labels)
    arrays = dict(zip(_ARRAYS, parts, strict=True))
    channels, height, width = added.train.images.shape[1:]
    return Header(
        name=name,
        shape=(channels, height, width),
        classes=added.classes,
        samples=(len(added.train.labels), len(added.test.labels)),
        sha256=fingerprint_of(arrays.values()),
        source=source,
        notes=added.notes,
    ), arrays


def read_header(path: Path) -> AnyHeader:
    """Reads the header of the file of an own dataset; the arrays are not read.

    Args:
        path: the file.

    Returns:
        The header.

    Raises:
        InputError: if the file has no such header.
    """
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            content = stream.read(min(size, _LONGEST_HEADER))
        text = json.loads(content)["__metadata__"][_KEY]
        clips = json.loads(text).get("kind") == "clips"
        header: AnyHeader = (ClipsHeader if clips else Header).model_validate_json(text)
    except ValidationError as error:
        raise _damaged(path, first_fault(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path, "it has no header") from None
    if header.name != own_name(path):
        raise _damaged(path, f"its header has the name {header.name}")
    return header


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is not a stored dataset ({reason}): {_remedy(path)}")


def _remedy(path: Path) -> str:
    name = own_name(path)
    return f"restore the file, or delete it and call `capsbench data add {name} PATH` again."


def find_own(path: Path) -> ImageDataset | ClipDataset:
    """Makes the dataset of a file; equal files give the same object.

    Args:
        path: the file.

    Returns:
        The dataset.

    Raises:
        InputError: if the file has no header of an own dataset.
    """
    return _dataset(read_header(path), path)


@lru_cache(maxsize=64)
def _dataset(header: AnyHeader, path: Path) -> ImageDataset | ClipDataset:
    if isinstance(header, ClipsHeader):
        return ClipDataset(
            name=header.name, column=COLUMN, header=header, path=path, remedy=_remedy(path)
        )

    def decode(path: Path) -> tuple[Split, Split]:
        return _read_arrays(path, header)

    return ImageDataset(
        name=header.name,
        column=COLUMN,
        shape=header.shape,
        classes=len(header.classes),
        class_names=header.classes,
        samples=header.samples,
        layouts=(
            Layout(
                folders=(OWN_FOLDER,), files=(File(path.name),), decode=decode, remedy=_remedy(path)
            ),
        ),
        state=DataState.own,
    )


def _read_arrays(path: Path, header: Header) -> tuple[Split, Split]:
    """Reads the arrays of a file. Raises ValueError if they differ from the header."""
    from safetensors.numpy import load_file

    arrays = load_file(path)
    found = [arrays[name] for name in _ARRAYS]
    if fingerprint_of(found) != header.sha256:
        raise ValueError("its arrays differ from its fingerprint")
    if (len(found[1]), len(found[3])) != header.samples:
        raise ValueError("its arrays differ from its header")
    return Split(*found[:2]), Split(*found[2:])
