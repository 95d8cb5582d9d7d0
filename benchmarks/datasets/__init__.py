"""The datasets, one file each; their names are known without importing any of them.

A module of this folder is a dataset if it says which column of the tables it is: `COLUMN = 3`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

BESIDE = ("constellations",)
"""Datasets that are no column of the tables: single runs may name them."""

GENERATED = ("moving_mnist", *BESIDE)
"""Datasets whose samples are generated: validation takes none from training."""

_COLUMN = re.compile(r"^COLUMN = (\d+)$", re.MULTILINE)


@cache
def names() -> tuple[str, ...]:
    """Every dataset's name, in the order of the tables' columns."""
    columns = []
    for path in Path(__file__).parent.glob("*.py"):
        if found := _COLUMN.search(path.read_text(encoding="utf-8")):
            columns.append((int(found[1]), path.stem))
    return tuple(name for _, name in sorted(columns))
