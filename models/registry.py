"""The registry of variants: names at once, classes when asked for.

`available()` reads the model files' syntax trees and imports nothing, so that `--help` and `list`
answer before torch could be imported. A variant joins by standing in a file of this folder under

    @register("name", task="classification")
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from models.variant import Hyperparameters, Variant

    V = TypeVar("V", bound=type[Variant])

TASKS = ("classification", "autoencoding", "prediction")

_classes: dict[str, type[Variant]] = {}


@dataclass(frozen=True)
class Entry:
    """What is known of a variant without importing it."""

    name: str
    task: str
    module: str
    summary: str


def register(name: str, *, task: str) -> Callable[[V], V]:
    """Class decorator: makes a `Variant` known by its name."""
    if task not in TASKS:
        raise ValueError(f"task {task!r} of variant {name!r} is none of {', '.join(TASKS)}")

    def keep(cls: V) -> V:
        if name in _classes and _classes[name].__qualname__ != cls.__qualname__:
            raise ValueError(f"two variants are called {name!r}")
        _classes[name] = cls
        return cls

    return keep


@cache
def available() -> dict[str, Entry]:
    """Every variant by name, sorted by task and name, without importing torch."""
    entries = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                entries += _declared(node, f"models.{path.stem}")
    entries.sort(key=lambda e: (TASKS.index(e.task), e.name))
    return {e.name: e for e in entries}


def _declared(node: ast.ClassDef, module: str) -> list[Entry]:
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
    """The class of a variant. Raises KeyError, naming the nearest known name."""
    if name not in available():
        raise KeyError(unknown(name))
    importlib.import_module(available()[name].module)
    return _classes[name]


def build(
    name: str, *, shape: Any, config: Hyperparameters, base: Variant | None = None
) -> Variant:
    """A variant's model; on `base`, where it rests on another variant's trained model."""
    cls = variant(name)
    if (cls.base_variant is None) != (base is None):
        raise ValueError(f"{name} rests on {cls.base_variant or 'no other variant'}")
    return cls(shape=shape, config=config, **({} if base is None else {"base": base}))


def unknown(name: str) -> str:
    """A sentence on a name that no variant has, with the nearest that one has."""
    return f"no variant is called {name!r}: {nearest(name, available())}"


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """For an unknown name: the known one that is meant, probably, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
