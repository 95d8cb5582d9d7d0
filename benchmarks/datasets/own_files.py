"""Names the files of the user's own datasets. Importing this module is fast."""

from __future__ import annotations

from pathlib import Path

OWN_FOLDER, OWN_ENDING = "own", ".safetensors"
"""The folder in the data folder, and the ending, of the files of the user's own datasets."""


def own_path(root: Path, name: str) -> Path:
    """Returns the path of the file of an own dataset.

    Args:
        root: the folder of the datasets.
        name: the name of the own dataset.
    """
    return root / OWN_FOLDER / f"{name}{OWN_ENDING}"


def own_name(path: Path) -> str:
    """Returns the name of the own dataset that a file holds.

    Args:
        path: the file.
    """
    return path.name.removesuffix(OWN_ENDING)
