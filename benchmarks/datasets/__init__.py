"""Finds the datasets, with one file per dataset; their names are read without importing the files.

A file of this folder defines a dataset if it assigns `DATASET = …(name="…", column=…)` at its top
level. The dataset's name is the name of the file. The user's own datasets are files in the data
folder (`own_datasets.py`); a process knows those of one data folder at a time.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.datasets.own_files import OWN_ENDING, OWN_FOLDER, own_name, own_path
from benchmarks.records.errors import InputError
from models.registry import nearest

if TYPE_CHECKING:
    from benchmarks.datasets.dataset import Dataset

_root: Path | None = None
"""The data folder whose own datasets are known."""


def names() -> tuple[str, ...]:
    """Lists the names of the datasets that are columns of the tables, in the order of columns."""
    columns = [(column, name) for name, column in _declared().items() if column is not None]
    return tuple(name for _, name in sorted(columns))


def extra_names() -> tuple[str, ...]:
    """Lists the names of the datasets that are not columns of the tables; single runs use them."""
    return tuple(name for name, column in _declared().items() if column is None)


def use_folder(root: Path) -> None:
    """Makes the user's own datasets of a data folder known in this process, and no others.

    Args:
        root: the folder of the datasets; it need not exist.
    """
    global _root
    _root = root


def own_names() -> tuple[str, ...]:
    """Lists the names of the user's own datasets in the data folder, in alphabetical order.

    The list is empty before `use_folder` is called.
    """
    paths = [] if _root is None else (_root / OWN_FOLDER).glob(f"[a-z]*{OWN_ENDING}")
    found = {own_name(path) for path in paths}
    return tuple(sorted(found - {*names(), *extra_names()}))


def hint(name: str, known: Iterable[str]) -> str:
    """Writes a hint for an unknown name of a dataset or of a cell.

    Args:
        name: the unknown name.
        known: the known names.

    Returns:
        The most similar known name or the known names, and where own datasets are looked for.
    """
    where = "" if _root is None else f" (your own datasets are those in {_root / OWN_FOLDER})"
    return f"{nearest(name, known, cutoff=0.3 if '/' in name else 0.6)}{where}"


def find(name: str) -> Dataset:
    """Imports the file of a dataset and returns the dataset, or finds one of the user's own.

    Args:
        name: the name of the dataset.

    Returns:
        The dataset.

    Raises:
        InputError: if no dataset has this name, or the file of an own dataset is damaged.
        ValueError: if the file declares another name, or a column that is not a literal number.
    """
    known = (*names(), *extra_names())
    if name in own_names():
        from benchmarks.datasets import own_datasets

        assert _root is not None
        return own_datasets.find_own(own_path(_root.absolute(), name))
    if name not in known:
        raise InputError(f"no dataset is called {name!r}: {hint(name, (*known, *own_names()))}")
    dataset: Dataset = importlib.import_module(f"{__name__}.{name}").DATASET
    if (dataset.name, dataset.column) != (name, _declared()[name]):
        raise ValueError(
            f"{name}.py declares a dataset called {dataset.name!r} in column {dataset.column}: "
            "give the dataset the name of the file, and write its column as a number"
        )
    return dataset


@cache
def _declared() -> dict[str, int | None]:
    """Reads the names and columns of all datasets from their files' syntax trees."""
    found = {}
    for path in sorted(path for folder in __path__ for path in Path(folder).glob("*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            match statement:
                case ast.Assign(targets=[ast.Name("DATASET")], value=ast.Call() as call):
                    found[path.stem] = _column(call)
    return found


def _column(call: ast.Call) -> int | None:
    """Returns the argument `column` of a call; None if it is not given as a number."""
    for keyword in call.keywords:
        match keyword:
            case ast.keyword("column", ast.Constant(int(column))):
                return column
    return None
