"""Reads the points that studies try after the recipe: `--start FILE` of `capsbench sweep`.

A YAML or JSON file maps cells, in the form of `--only`, to lists of points. A point has values of
some searched hyper-parameters; the others have the recipe's values:

    capsnet/*:
      - {lr: 0.002}
      - {lr: 0.001, routing_iterations: 1}

Instead of a file, the results folder of an earlier sweep can be given. The points are then the
values of each cell's best trial for the hyper-parameters that the new profile searches. A best
trial that this profile cannot try is left out, and a line on stderr gives the reason.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from pydantic import JsonValue

from benchmarks import datasets, wording
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.yaml_files import parse_yaml
from models import registry
from models.registry import nearest
from sweeps.matrix import choose_cells, list_cells

if TYPE_CHECKING:
    from sweeps.studies.space import Space

Points = dict[str, list[dict[str, JsonValue]]]
"""By cell, as variant/dataset, the points of its study."""

_EXPONENT = re.compile(r"([-+]?\d+)(\.\d*)?e([-+]?)(\d+)", re.ASCII | re.IGNORECASE)


def read_start_points(paths: Sequence[Path], profile: ProfileName) -> Points:
    """Reads start points from files and results folders, in the given order.

    If best trials of a results folder are left out, a line on stderr names them.

    Args:
        paths: files, and results folders of earlier sweeps.
        profile: the profile of the new sweep, which decides what is searched.

    Returns:
        The points of each cell.

    Raises:
        InputError: if a path is neither a readable file nor a results folder, or has no points of
            known cells.
    """
    found: Points = {}
    for path in paths:
        points = _of_results(path, profile) if path.is_dir() else _of_file(path)
        for cell, values in points.items():
            found.setdefault(cell, []).extend(values)
    return found


def _of_file(path: Path) -> Points:
    where = f"--start {path}"
    content = _parsed(path, where)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{where} must map cells, such as capsnet/*, to lists of points")
    found: Points = {}
    for pattern, points in content.items():
        if not isinstance(points, list) or not all(_is_point(point) for point in points):
            raise InputError(
                f"{where}: {wording.given(pattern)} must have a list of points, each a mapping of "
                "hyper-parameters to values, such as [{lr: 0.001}]"
            )
        for variant, dataset in choose_cells((wording.given(pattern),), option=f"{where}:"):
            found.setdefault(f"{variant}/{dataset}", []).extend(points)
    return found


def _parsed(path: Path, where: str) -> Any:
    """Parses a JSON or YAML file.

    Raises:
        InputError: if the file cannot be read or is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        try:
            return json.loads(text)  # JSON first, because YAML takes no tabs
        except ValueError:
            return parse_yaml(text)
    except FileNotFoundError:
        raise InputError(
            f"{where} does not exist: name a YAML or JSON file, or the results folder of an "
            "earlier sweep"
        ) from None
    except RecursionError:
        reason = "it is nested too deeply"
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
    raise InputError(f"{where} cannot be read ({reason}): correct the file, or name another one")


def _is_point(value: Any) -> bool:
    kinds = bool | int | float | str | None
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(number, kinds) for name, number in value.items()
    )


def _of_results(results: Path, profile: ProfileName) -> Points:
    """Takes from each cell's best trial the hyper-parameters that a profile searches.

    A line on stderr names the best trials that cannot be tried.
    """
    from sweeps.studies import space

    found: Points = {}
    left_out: list[str] = []
    own = datasets.own_names()
    for ledger in _ledgers(results):
        if ledger.best is None or (ledger.variant, ledger.dataset) not in list_cells(own):
            continue
        variant, dataset = ledger.variant, ledger.dataset
        searched = space.load_space(variant, registry.variant(variant), profile, dataset=dataset)
        point, why = _point_of(RunFolder(results, ledger.best), searched)
        if why is None:
            found.setdefault(f"{variant}/{dataset}", []).append(point)
        else:
            left_out.append(f"{variant}/{dataset} ({why})")
    if left_out:
        names = ", ".join(left_out)
        print(f"capsbench: --start {results}: left out the best trial of {names}", file=sys.stderr)
    if not found and not left_out:
        raise InputError(
            f"--start {results}: no cell of this folder has a best trial: name the results folder "
            "of an earlier sweep, or a YAML or JSON file"
        )
    return found


def _ledgers(results: Path) -> list[CellLedger]:
    try:
        return ResultsFolder(results).ledgers()
    except (OSError, InputError) as error:
        raise InputError(f"--start {results}: {error}; or name the points in a file") from None


def _point_of(run: RunFolder, space: Space) -> tuple[dict[str, JsonValue], str | None]:
    """Reads a point from a run's record.

    Args:
        run: the folder of the run.
        space: the search space in which the point shall be tried.

    Returns:
        The searched hyper-parameters whose conditions hold, and None; if they cannot be tried, an
        empty point and the reason.
    """
    had = run.hyperparameters()
    if had is None:
        return {}, f"{run.run_id} has no record that can be read"
    values = {name: had[name] for name in space.distributions if name in had}
    faults = {name: _fault(space, name, value) for name, value in values.items()}
    possible = space.point({n: value for n, value in values.items() if faults[n] is None})
    for name, fault in faults.items():
        if fault is not None and space.holds(name, possible):
            return {}, f"{name} = {wording.given(values[name])} {fault.reason}"
    return {name: value for name, value in values.items() if name in possible}, None


def check_start_points(
    space: Space, points: Sequence[Mapping[str, JsonValue]], cell: str
) -> list[dict[str, JsonValue]]:
    """Checks the points of a cell, and leaves out hyper-parameters that are not searched.

    Args:
        space: the search space of the cell.
        points: values of hyper-parameters, by name; those that are not searched must have the
            recipe's value.
        cell: the name of the cell, for messages.

    Returns:
        The points, with searched hyper-parameters alone.

    Raises:
        InputError: if a name is unknown, a value is outside its range, the condition of a value
            does not hold, or a hyper-parameter that is not searched has another value than the
            recipe's.
    """
    return [_checked(space, point, cell) for point in points]


def _checked(space: Space, point: Mapping[str, JsonValue], cell: str) -> dict[str, JsonValue]:
    recipe = space.resolve({})
    for name, value in point.items():
        if name not in recipe:
            raise InputError(
                f"--start: {cell}: no hyper-parameter is called {wording.given(name)!r}: "
                f"{nearest(name, recipe)}"
            )
        if (fault := _fault(space, name, value)) is not None:
            raise _refused(cell, name, value, fault)
    found = {name: value for name, value in point.items() if name in space.distributions}
    tried = space.point(found)
    for name, value in found.items():
        if name not in tried:
            reason = f"counts only where {space.condition(name)}"
            fault = _Fault(reason, "leave it out, or add this condition to the point")
            raise _refused(cell, name, value, fault)
    return found


class _Fault(NamedTuple):
    """Describes why a value cannot be tried."""

    reason: str
    """The rest of a sentence that begins with the value."""
    remedy: str
    """What the user can do, as an imperative."""


def _refused(cell: str, name: str, value: JsonValue, fault: _Fault) -> InputError:
    given = wording.given(value)
    return InputError(f"--start: {cell}: {name} = {given} {fault.reason}: {fault.remedy}")


def _fault(space: Space, name: str, value: JsonValue) -> _Fault | None:
    """Finds the fault of a value of a known hyper-parameter; None if it can be tried."""
    from sweeps.studies.space import contains, range_text

    recipe, distribution = space.resolve({})[name], space.distributions.get(name)
    if distribution is None:
        if value == recipe and isinstance(value, bool) == isinstance(recipe, bool):
            return None
    elif contains(distribution, value):
        return None
    if isinstance(value, str) and _is_number(recipe):
        return _Fault("is text", f"write a number as YAML does, such as {_as_number(value)}")
    if distribution is not None:
        reason = f"is outside its range, {range_text(distribution)}"
        return _Fault(reason, "give a value in it")
    others = ", ".join(space.distributions)
    return _Fault(
        f"cannot be tried, as this profile does not search it but sets {recipe}",
        f"leave it out, or name one of {others}" if others else "leave it out: it searches nothing",
    )


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_number(text: str) -> str:
    """Formats a number for YAML 1.1, which needs a decimal point and a signed exponent."""
    found = _EXPONENT.fullmatch(text.strip())
    if found is None:
        return "1.0e-3"
    whole, part, sign, exponent = found.groups()
    return f"{whole}{part if part and part != '.' else '.0'}e{sign or '+'}{exponent}"
