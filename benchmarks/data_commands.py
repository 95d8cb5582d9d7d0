"""Defines `capsbench data`, which shows the datasets, and `capsbench data add`.

Importing this module is fast.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import datasets
from benchmarks.cli import Data, Offline, data_folder
from benchmarks.profiles import ProfileName, load_profile
from benchmarks.records.errors import InputError, printable

if TYPE_CHECKING:
    from benchmarks.datasets.own_datasets import Added, Header

app = typer.Typer(invoke_without_command=True, add_completion=False, pretty_exceptions_enable=False)
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
        from benchmarks.commands import show_data

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
    from benchmarks.datasets import own_datasets, own_sources

    choice = own_sources.Choice(images, labels, _size(size), test_share)
    added = own_sources.read_source(path, choice)
    header = own_datasets.store(root, name, path, added, replace=replace)
    _print(header, added, own_datasets.path_of(root, name))
    at = "" if data is None else f" --data {shlex.quote(str(data))}"
    print(f"next: `capsbench run cnn {name}{at}`, `capsbench sweep --datasets {name}{at}`")


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


def _print(header: Header, added: Added, path: Path) -> None:
    import numpy as np

    train, test = (np.bincount(split.labels, minlength=len(header.classes)) for split in added[:2])
    channels, height, width = header.shape
    print(
        f"{header.name}: {header.samples[0]} training and {header.samples[1]} test images, "
        f"{'grey' if channels == 1 else 'colour'}, {height}×{width} pixels, "
        f"{len(header.classes)} classes"
    )
    if len(header.classes) <= _LISTED:
        for label, name in enumerate(header.classes):
            print(f"  {printable(name)}: {train[label]} training, {test[label]} test")
    else:
        print(
            f"  a class has {train.min()} to {train.max()} training and {test.min()} to "
            f"{test.max()} test images"
        )
    for note in header.notes:
        print(note)
    print(f"stored in {path}, fingerprint {header.sha256}")
