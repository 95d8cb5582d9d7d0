"""Lists the cells: all pairs of a variant and a dataset, or those that patterns choose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from benchmarks import datasets
from benchmarks.records.errors import InputError
from models import registry


def list_cells(own: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Lists every cell: each variant with each dataset that serves its task.

    Args:
        own: the names of the user's own datasets to include; sweeps leave out the others.

    Returns:
        Pairs of the variant's and the dataset's name.
    """
    columns = {name: datasets.find(name) for name in (*datasets.names(), *own)}
    variants = registry.available().values()
    return [(v.name, d) for v in variants for d, data in columns.items() if v.task in data.forms]


def choose_cells(patterns: tuple[str, ...], *, option: str = "--only") -> list[tuple[str, str]]:
    """Chooses the cells that match at least one pattern.

    Only a pattern that ends in the name of a user's own dataset chooses cells of this dataset, so
    that a dataset that is added later changes no sweep.

    Args:
        patterns: patterns of `variant/dataset`, with * for any; without patterns, all cells are
            chosen.
        option: the option that a message names.

    Returns:
        Pairs of the variant's and the dataset's name.

    Raises:
        InputError: if a pattern matches no cell.
    """
    named = {pattern.rpartition("/")[2] for pattern in patterns}
    own = datasets.own_names()
    cells = {f"{v}/{d}": (v, d) for v, d in list_cells(name for name in own if name in named)}
    chosen = set()
    for pattern in patterns:
        found = {
            cell
            for cell, (_, dataset) in cells.items()
            if fnmatchcase(cell, pattern)
            and (dataset not in own or pattern.rpartition("/")[2] == dataset)
        }
        if not found:
            raise InputError(
                f"{option} {pattern!r} matches no cell: write variant/dataset, with * for any, as "
                f"`capsbench list` names them; "
                f"{datasets.hint(pattern, cells)}"
            )
        chosen |= found
    return [pair for cell, pair in cells.items() if not patterns or cell in chosen]


def limit_to_datasets(names: Sequence[str], only: tuple[str, ...]) -> tuple[str, ...]:
    """Limits the patterns of cells to datasets.

    Args:
        names: the names of the datasets; without names, the patterns are not limited.
        only: patterns of `variant/dataset`; without patterns, all cells are meant.

    Returns:
        The patterns of the cells on these datasets.

    Raises:
        InputError: if a name is unknown, or no pattern matches one of the datasets.
    """
    known = (*datasets.names(), *datasets.own_names())
    for name in names:
        if name not in known:
            raise InputError(f"--datasets {name!r}: {datasets.hint(name, known)}")
    parts = [pattern.rpartition("/") for pattern in only or ("*/*",)]
    limited = tuple(f"{v}/{name}" for v, _, d in parts for name in names if fnmatchcase(name, d))
    if names and not limited:
        raise InputError(
            f"--only {', '.join(only)} has no cell on {', '.join(names)}: leave one of --only and "
            "--datasets out"
        )
    return limited if names else only
