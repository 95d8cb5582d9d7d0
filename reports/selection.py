"""Selects rows of tables by the names of variants, datasets and profiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypedDict

import pandas as pd

from benchmarks.records.errors import InputError

Names = str | Sequence[str]


class Filters(TypedDict, total=False):
    """Holds filters of a table: for each column a name, a pattern with *, or a list of both."""

    task: Names
    variant: Names
    dataset: Names
    profile: Names


def select(table: pd.DataFrame, known: dict[str, set[str]], filters: Filters) -> pd.DataFrame:
    """Keeps the rows whose names are asked for. Figures and marks stay as they are.

    Args:
        table: the table.
        known: the names that there are, by column.
        filters: names or patterns, by column.

    Raises:
        InputError: if a name is unknown, or the table has no such column.
    """
    for column, names in filters.items():
        assert isinstance(names, str | Sequence)
        if column not in known:
            raise InputError(f"no table has a filter '{column}': choose one of {', '.join(known)}")
        if column not in table:
            raise InputError(f"this table has no column '{column}': its rows are for all of them")
        there = known[column] | set(table[column])
        wanted = matching(column, names, there)
        table = table[table[column].isin(list(wanted))]
    return table.reset_index(drop=True)


def matching(what: str, names: Names, known: Iterable[str]) -> set[str]:
    """Returns the known names that equal a name or match a pattern.

    Args:
        what: what is named, for the error.
        names: a name, a pattern with *, or several of both.
        known: the names that there are.

    Raises:
        InputError: if a name or pattern matches none.
    """
    found: set[str] = set()
    known = sorted(set(known))
    for name in [names] if isinstance(names, str) else names:
        matches = {one for one in known if one == name or fnmatchcase(one, name)}
        if not matches:
            raise InputError(unknown_name(what, name, known))
        found |= matches
    return found


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """Says that a name is unknown, which known one is nearest to it, and which there are."""
    nearest = get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    return f"there is no {what} '{name}': {hint}Known: {', '.join(known) or 'none'}"
