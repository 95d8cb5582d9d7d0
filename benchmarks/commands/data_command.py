"""Defines `capsbench data`, which shows the datasets, and `capsbench data add`.

Importing this module is fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import datasets
from benchmarks.commands.cli import Data, Offline, announced, data_folder, folder_options
from benchmarks.records.errors import InputError, printable
from benchmarks.specs.profiles import ProfileName, load_profile

if TYPE_CHECKING:
    from benchmarks.datasets.own_clips import AddedClips
    from benchmarks.datasets.own_datasets import Added, AnyHeader

app = typer.Typer(invoke_without_command=True, add_completion=False, pretty_exceptions_enable=False)
FRAMES = 20
"""Frames of a clip: ten past and ten future ones."""
_LISTED = 20
"""Most classes whose numbers of images are printed one by one."""


@app.callback()
def show(
    context: typer.Context,
    data: Data = None,
    profile: Annotated[
        ProfileName, typer.Option(help="Profile that says what is downloaded.")
    ] = ProfileName.quick,
    offline: Offline = False,
) -> None:
    """Shows the state, samples, shape, SHA-256 of the decoded arrays and folder of each dataset.

    `capsbench data add` adds a dataset of your own.
    """
    if context.invoked_subcommand is None:
        from benchmarks.commands.run_command import show_data

        show_data(load_profile(profile), root=data_folder(data), offline=offline)
    elif data is not None or offline:
        raise InputError("options of `data add` follow the word add: write `data add … --data DIR`")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the dataset in commands and tables.")],
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder with one folder of images per class (or with such folders in train/ and "
            "test/), an .npz or .npy file, a Parquet file or folder, or a .py file that assigns "
            "torch datasets to train and test."
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Array or column of the images, if it is not found."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Array or column of the labels, if it is not found; for an .npy file, the .npy "
            "file of the labels.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Resize the images, as 32 or 32x48.",
            show_default="their own size",
        ),
    ] = None,
    test_share: Annotated[
        float,
        typer.Option(min=0.01, max=0.9, help="Share of test images, if there are none."),
    ] = 0.2,
    clips: Annotated[
        bool,
        typer.Option(
            "--clips",
            help="Add clips, whose next frames are predicted: a folder of animated images or of "
            "folders of frames, an .npz or .npy file, or a .py file with torch datasets of clips.",
        ),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="With --clips: frames of a clip; longer clips are cut.",
            show_default=str(FRAMES),
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace your dataset of the same name.")
    ] = False,
    data: Data = None,
) -> None:
    """Adds a dataset of your own: checks it, says what it found, stores it in the data folder.

    Afterwards it is used like any other dataset, as in `capsbench run cnn NAME`.
    """
    root = data_folder(data)
    _require_name(name)
    from benchmarks.datasets import clip_sources, own_datasets, own_files, own_sources

    added: Added | AddedClips
    if clips and (images or labels or size):
        raise InputError("--images, --labels and --size are for images: leave them out")
    if frames is not None and not clips:
        raise InputError("--frames is for clips: give --clips too, or leave it out")
    with announced(f"reading {path}"):
        if clips:
            added = clip_sources.read_clips(path, frames=frames or FRAMES, test_share=test_share)
        else:
            choice = own_sources.Choice(images, labels, _size(size), test_share)
            added = own_sources.read_source(path, choice)
        header = own_datasets.store(root, name, path, added, replace=replace)
    for line in _counts(header, added):
        print(line)
    for note in header.notes:
        print(note)
    print(f"stored in {own_files.own_path(root, name)}, fingerprint {header.sha256}")
    at, variant = folder_options(data=root), "convlstm" if clips else "cnn"
    print(f"next: `capsbench run {variant} {name}{at}`, `capsbench sweep --datasets {name}{at}`")


def _require_name(name: str) -> None:
    """Checks the name of an own dataset. Raises InputError if it is taken or cannot be a name."""
    from benchmarks.datasets.own_datasets import NAME

    if not NAME.fullmatch(name):
        raise InputError(
            f"{printable(name)!r} cannot be the name of a dataset: use up to 40 small letters, "
            "digits and _, a letter first"
        )
    if name in (*datasets.names(), *datasets.extra_names()):
        raise InputError(f"{name} is the name of a dataset of capsbench: choose another name")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,4})(?:[x×](\d{1,4}))?", text)
    if found is None:
        raise InputError(f"--size {text!r} is no size: write 32, or 32x48 for height and width")
    return int(found[1]), int(found[2] or found[1])


def _counts(header: AnyHeader, added: Added | AddedClips) -> Iterator[str]:
    """Yields what was found, in lines: numbers, size, and images per class."""
    from benchmarks.datasets.own_clips import AddedClips, ClipsHeader

    *_, channels, height, width = header.shape
    colour = f"{'grey' if channels == 1 else 'colour'}, {height}×{width} pixels"
    train, test = header.samples
    if isinstance(header, ClipsHeader) or isinstance(added, AddedClips):
        yield (
            f"{header.name}: {train} training and {test} test clips of {header.shape[0]} frames, "
            f"{colour}"
        )
        return
    yield (
        f"{header.name}: {train} training and {test} test images, {colour}, "
        f"{len(header.classes)} classes"
    )
    yield from _class_counts(header.classes, added)


def _class_counts(classes: Sequence[str], added: Added) -> Iterator[str]:
    """Yields the numbers of images per class; the bounds alone if there are many classes."""
    import numpy as np

    splits = (added.train, added.test)
    train, test = (np.bincount(split.labels, minlength=len(classes)) for split in splits)
    if len(classes) > _LISTED:
        yield (
            f"  a class has {train.min()} to {train.max()} training and {test.min()} to "
            f"{test.max()} test images"
        )
        return
    for label, name in enumerate(classes):
        yield f"  {printable(name)}: {train[label]} training, {test[label]} test"
