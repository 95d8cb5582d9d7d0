"""Registers variants: lists them without importing their files, and imports a class on request.

`available()` parses the source of the model files and imports none of them, so that `--help` and
`list` do not wait for torch. To add a variant, decorate its class, in a file of this folder or in a
file that is given to `add_file`, with

    @register("name", task="classification")
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from models.variant import Hyperparameters, Variant

    V = TypeVar("V", bound=type[Variant])

TASKS = ("classification", "autoencoding", "prediction")

_classes: dict[str, type[Variant]] = {}
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,39}", re.ASCII)
"""Names of added variants: they become parts of file names."""


@dataclass(frozen=True)
class Entry:
    """Holds what `available` reads about a variant from its source file."""

    name: str
    task: str
    """One of `TASKS`."""
    module: str
    """Name of the module that defines the variant."""
    summary: str
    """First line of the class's docstring."""
    sha256: str | None = None
    """SHA-256 of the file that was given to `add_file`; None: the variant is one of capsbench."""


class AddedFile(NamedTuple):
    """Holds a file outside `models/` that registers variants."""

    path: Path
    content: bytes
    entries: tuple[Entry, ...]


_added: dict[str, AddedFile] = {}
"""Added files by SHA-256."""


def register(name: str, *, task: str) -> Callable[[V], V]:
    """Returns a class decorator that registers a `Variant` under a name.

    Args:
        name: the variant's name.
        task: one of `TASKS`.

    Returns:
        The decorator. It returns the class unchanged, and raises ValueError if another class has
        the name.

    Raises:
        ValueError: if `task` is unknown.
    """
    if task not in TASKS:
        raise ValueError(
            f"variant {name!r} has the unknown task {task!r}: take one of {', '.join(TASKS)}"
        )

    def keep(cls: V) -> V:
        if name in _classes and _classes[name].__qualname__ != cls.__qualname__:
            raise ValueError(f"two variants are called {name!r}: rename one of them")
        _classes[name] = cls
        return cls

    return keep


@cache
def available() -> dict[str, Entry]:
    """Lists all variants without importing torch.

    Returns:
        A dictionary from name to entry, sorted by task and name.
    """
    entries = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                entries += _declared(node, f"models.{path.stem}")
    entries += [entry for file in _added.values() for entry in file.entries]
    entries.sort(key=lambda e: (TASKS.index(e.task), e.name))
    return {e.name: e for e in entries}


def add_file(path: Path) -> AddedFile:
    """Adds the variants that a file outside `models/` registers. The file is not run yet.

    Args:
        path: a Python file.

    Returns:
        The file, with one entry per variant. A file that was added before is not added again.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no Python code, registers no variant, or a name or task is not
            possible.
    """
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 in _added:
        return _added[sha256]
    try:
        tree = ast.parse(content, str(path))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is no Python file: {error}") from None
    module = f"capsbench_variants_{sha256[:16]}"
    entries = tuple(
        replace(entry, sha256=sha256)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for entry in _declared(node, module)
    )
    if not entries:
        raise ValueError(
            f'{path} registers no variant: decorate a class with @register("name", task="…"), as '
            "docs/your-own-model.md shows"
        )
    for entry in entries:
        _check(path, entry)
    _added[sha256] = AddedFile(path, content, entries)
    available.cache_clear()
    return _added[sha256]


def added_file(sha256: str) -> AddedFile | None:
    """Returns the added file of this SHA-256; None if none was added."""
    return _added.get(sha256)


def _check(path: Path, entry: Entry) -> None:
    if not _NAME.fullmatch(entry.name):
        raise ValueError(
            f"{path}: {entry.name!r} cannot be a variant's name: use at most 40 letters, digits "
            "and signs (_ . -)"
        )
    if entry.task not in TASKS:
        raise ValueError(f"{path}: no task is called {entry.task!r}: {nearest(entry.task, TASKS)}")
    if (known := available().get(entry.name)) is not None:
        owner = "capsbench" if known.sha256 is None else str(_added[known.sha256].path)
        raise ValueError(
            f"{path}: {owner} has a variant {entry.name!r} already: rename yours, or use another "
            "results folder"
        )


def _import_added(file: AddedFile) -> None:
    """Runs an added file, once per process."""
    name = file.entries[0].module
    if name in sys.modules:
        return
    module = ModuleType(name)
    module.__file__ = str(file.path)
    sys.modules[name] = module
    try:
        exec(compile(file.content, str(file.path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        place = place_in(file.path, error)
        raise ValueError(
            f"{file.path} cannot be imported ({type(error).__name__}{place}: {error}): correct it"
        ) from error


def place_in(path: Path, error: BaseException) -> str:
    """Writes where a user's file raised an exception, such as ` in line 3`; empty if unknown.

    Args:
        path: the file, by the name under which it was compiled.
        error: the exception.
    """
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""


def _declared(node: ast.ClassDef, module: str) -> list[Entry]:
    """Reads the entries of a class's `register` decorators from its syntax tree."""
    summary = (ast.get_docstring(node) or "").split("\n")[0]
    return [
        Entry(call.args[0].value, call.keywords[0].value.value, module, summary)
        for call in node.decorator_list
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "register"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and call.keywords
        and isinstance(call.keywords[0].value, ast.Constant)
        and isinstance(call.keywords[0].value.value, str)
    ]


def variant(name: str) -> type[Variant]:
    """Imports the class of a variant.

    Args:
        name: the variant's name.

    Returns:
        The class.

    Raises:
        KeyError: if no variant has this name; the message suggests the nearest known name.
        ValueError: if the file of an added variant cannot be imported.
    """
    if name not in available():
        raise KeyError(unknown_variant(name))
    entry = available()[name]
    if entry.sha256 is None:
        importlib.import_module(entry.module)
    else:
        _import_added(_added[entry.sha256])
    return _classes[name]


def build(
    name: str, *, shape: Any, config: Hyperparameters, base: Variant | None = None
) -> Variant:
    """Builds the untrained model of a variant.

    Args:
        name: the variant's name.
        shape: the shape of its data.
        config: its hyper-parameters.
        base: the trained model that the variant is built on, if it is built on one.

    Returns:
        The model.

    Raises:
        KeyError: if no variant has this name.
        ValueError: if a base is missing, or given to a variant that is built on none.
    """
    cls = variant(name)
    if (cls.base_variant is None) != (base is None):
        raise ValueError(
            f"{name} is built on {cls.base_variant}: give its trained model as base"
            if cls.base_variant
            else f"{name} is built on no other variant: give no base"
        )
    return cls(shape=shape, config=config, **({} if base is None else {"base": base}))


def unknown_variant(name: str) -> str:
    """Writes the message for a name that no variant has, with the nearest known name."""
    return f"no variant is called {name!r}: {nearest(name, available())}"


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Writes a hint for an unknown name.

    Args:
        name: the unknown name.
        known: the known names.
        cutoff: the least similarity of a suggested name, from 0 to 1.

    Returns:
        A question with the most similar known name; if none is similar enough, a list of the known
        names.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return (
        f"did you mean {near[0]!r}?"
        if near
        else f"the known names are {', '.join(known) or 'none'}"
    )
