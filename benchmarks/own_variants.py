"""Finds variants that users define in files outside capsbench, and stores these files with results.

A file is stored as `variants/<stem>-<start of its SHA-256>.py` in the results folder, so that every
process that makes, resumes or loads one of its runs finds the same code.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from benchmarks.records.atomic_files import write_atomically
from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.folders import ResultsFolder
from models import registry


def add_variants(path: Path) -> list[str]:
    """Adds the variants of a file to those that can be named.

    Args:
        path: a Python file that registers variants.

    Returns:
        Their names.

    Raises:
        InputError: if the file cannot be read, registers no variant or cannot be imported, or a
            registered class is no `Variant`.
    """
    try:
        names = [entry.name for entry in registry.add_file(path).entries]
        for name in names:
            _require_variant(path, registry.variant(name))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a Python file") from None
    except ValueError as error:
        raise InputError(str(error)) from None
    return names


def _require_variant(path: Path, cls: type) -> None:
    """Checks that a run can be made of a registered class. Raises InputError if it cannot."""
    from models.variant import Hyperparameters, Variant  # imports torch

    fault = None
    if not issubclass(cls, Variant):
        fault = (
            "is no subclass of Variant: put the network into a PlainClassifier, whose method "
            "`network` returns it, as docs/your-own-model.md shows"
        )
    elif not issubclass(cls.Config, Hyperparameters):
        fault = "has a Config that is no subclass of Hyperparameters: make it one"
    else:
        try:
            cls.Config()
        except ValidationError as error:
            fault = (
                f"has no valid defaults ({first_fault(error)}): give each hyper-parameter of its "
                "Config a default"
            )
    if fault is not None:
        raise InputError(f"{path}: {cls.__name__} {fault}")


def named(text: str) -> str:
    """Finds the variant that a user names.

    Args:
        text: a variant's name, a file `mynet.py` that registers one variant, or `mynet.py:name`.

    Returns:
        The variant's name.

    Raises:
        InputError: if there is no such file, or it registers several variants and none is named.
    """
    path, _, name = text.partition(".py:")
    if not (name or text.endswith(".py")):
        return text
    names = add_variants(Path(f"{path.removesuffix('.py')}.py"))
    if name and name not in names:
        raise InputError(f"{path}.py registers no variant {name!r}: name {' or '.join(names)}")
    if not name and len(names) > 1:
        raise InputError(f"{text} registers several variants: name one, as {text}:{names[0]}")
    return name or names[0]


def provide(results: Path, sha256: str | None) -> None:
    """Makes a run's variant known to this process, and stores its file with the results.

    Args:
        results: the results folder.
        sha256: of the file; None for variants of capsbench, which need nothing.

    Raises:
        InputError: if the file is not stored with the results, or was changed there.
        OSError: if the file cannot be stored.
    """
    if sha256 is None:
        return
    file = registry.added_file(sha256)
    folder = ResultsFolder(results).variants
    if file is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{file.path.stem.removesuffix(_mark(sha256))}{_mark(sha256)}.py"
        if not path.exists():
            write_atomically(path, file.content)
        return
    for path in folder.glob(f"*{_mark(sha256)}.py"):
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            add_variants(path)
    if registry.added_file(sha256) is None:
        raise InputError(
            f"{folder} has no unchanged file of SHA-256 {sha256[:16]}…, which defines the variant: "
            "copy it there from where the run was made"
        )


def _mark(sha256: str) -> str:
    return f"-{sha256[:16]}"
