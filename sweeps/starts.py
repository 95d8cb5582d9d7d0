"""Points that studies start from, beside the recipe: `--start FILE` of `python -m sweeps run`.

A YAML or JSON file maps cells, as `--only` names them, to lists of points. A point gives some
searched hyper-parameters; the others are the recipe's:

    capsnet/*:
      - {lr: 0.002}
      - {lr: 0.001, routing_iterations: 1}

Or an earlier sweep's results folder: of each cell, what the best trial had of the hyper-parameters
that this profile searches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import JsonValue

from benchmarks.errors import InputError
from benchmarks.profiles import Name
from benchmarks.records import read_record
from models import registry
from models.registry import nearest
from sweeps.options import choose, matrix

if TYPE_CHECKING:
    from sweeps.space import Space

Points = dict[str, list[dict[str, JsonValue]]]
"""Of each cell, as variant/dataset."""


def read(paths: Sequence[Path], profile: Name) -> Points:
    """Reads start points from files and results folders, in this order.

    Args:
        paths: files, and results folders of earlier sweeps.
        profile: that of the new sweep, which says what of an earlier trial is taken.

    Raises:
        InputError: if a path is neither, or what it holds are no points of known cells.
    """
    found: Points = {}
    for path in paths:
        points = _of_results(path, profile) if path.is_dir() else _of_file(path)
        for cell, values in points.items():
            found.setdefault(cell, []).extend(values)
    return found


def _of_file(path: Path) -> Points:
    where = f"--start {path}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML, too
    except FileNotFoundError:
        raise InputError(
            f"{where} is not there: name a YAML or JSON file, or an earlier sweep's results folder"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{where} cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{where} must map cells, such as capsnet/*, to lists of points")
    found: Points = {}
    for pattern, points in content.items():
        if not isinstance(points, list) or not all(_is_point(point) for point in points):
            raise InputError(
                f"{where}: {pattern} must have a list of points, each a mapping of "
                "hyper-parameters to values, such as [{lr: 0.001}]"
            )
        for variant, dataset in choose((str(pattern),), option=f"{where}:"):
            found.setdefault(f"{variant}/{dataset}", []).extend(points)
    return found


def _is_point(value: Any) -> bool:
    kinds = bool | int | float | str | None
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(number, kinds) for name, number in value.items()
    )


def _of_results(results: Path, profile: Name) -> Points:
    """What the best trial of each cell had of the hyper-parameters that a profile searches."""
    from sweeps import space

    found: Points = {}
    for path in sorted((results / "cells").glob("*.json")):
        try:
            ledger = json.loads(path.read_bytes())
            variant, dataset, best = ledger["variant"], ledger["dataset"], ledger["best"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"--start {results}: {path.name} is not a cell's ledger: remove it, or name the "
                "points in a file"
            ) from None
        record = read_record(results, best) if best and (variant, dataset) in matrix() else None
        if record is not None:
            had = record.spec.hyperparameters
            searched = space.load(variant, registry.variant(variant), profile, dataset=dataset)
            point = {name: had[name] for name in searched.distributions if name in had}
            found.setdefault(f"{variant}/{dataset}", []).append(point)
    if not found:
        raise InputError(
            f"--start {results}: no cell of this folder has a best trial: name the results folder "
            "of an earlier sweep, or a YAML or JSON file"
        )
    return found


def checked(
    space: Space, points: Sequence[Mapping[str, JsonValue]], cell: str
) -> list[dict[str, JsonValue]]:
    """Checks a cell's points, and leaves out what they need not say.

    Args:
        space: the cell's.
        points: searched hyper-parameters, and others where they have the recipe's value.
        cell: its name, for messages.

    Returns:
        The points, of searched hyper-parameters alone.

    Raises:
        InputError: for an unknown name, a value outside its range, or a value other than the
            recipe's of what is not searched.
    """
    return [_checked(space, point, cell) for point in points]


def _checked(space: Space, point: Mapping[str, JsonValue], cell: str) -> dict[str, JsonValue]:
    from sweeps.space import contains, range_text

    recipe = space.resolve({})
    found: dict[str, JsonValue] = {}
    for name, value in point.items():
        where = f"--start: {cell}: {name}"
        if name not in recipe:
            raise InputError(
                f"--start: {cell}: no hyper-parameter is called {name!r}: {nearest(name, recipe)}"
            )
        distribution = space.distributions.get(name)
        if distribution is None and value != recipe[name]:
            raise InputError(
                f"{where} = {value} cannot be tried, as this profile does not search it but sets "
                f"{recipe[name]}: leave it out, or name one of {', '.join(space.distributions)}"
            )
        if distribution is not None and not contains(distribution, value):
            raise InputError(
                f"{where} = {value} is outside its range, {range_text(distribution)}: "
                "give a value in it"
            )
        if distribution is not None:
            found[name] = value
    return found
