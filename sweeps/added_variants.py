"""Registers the variants of users' files for a sweep. Importing this is fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import own_variants
from benchmarks.records.errors import InputError
from models import registry
from sweeps.stored_options import restore_options


class OwnVariants(NamedTuple):
    """Holds the variants of users' files."""

    sha256: dict[str, str]
    """By name of a variant, the SHA-256 of its file."""
    names: dict[Path, list[str]]
    """By file, the names of the variants that it registers."""


def register_variants(files: Sequence[Path], results: Path) -> OwnVariants:
    """Registers the variants of users' files. The sweep copies the files when it begins.

    Args:
        files: Python files that register variants.
        results: the results folder; it need not exist.

    Returns:
        The variants; those of an earlier sweep in the folder have their SHA-256 too.

    Raises:
        InputError: if a file registers no variant, or cannot be imported.
    """
    try:
        variants = dict(restore_options(results).variants)
    except InputError:
        variants = {}  # the folder has no sweep yet
    names = {file: own_variants.add_variants(file) for file in files}
    for name in (name for added in names.values() for name in added):
        variants[name] = registry.available()[name].sha256 or ""
    return OwnVariants(variants, names)
