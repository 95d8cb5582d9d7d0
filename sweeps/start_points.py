"""Points that studies start from, beside the recipe: `--start FILE` of `capsbench sweep`.

A YAML or JSON file maps cells, as `--only` names them, to lists of points. A point gives some
searched hyper-parameters; the others are the recipe's:

    capsnet/*:
      - {lr: 0.002}
      - {lr: 0.001, routing_iterations: 1}

Or an earlier sweep's results folder: of each cell, what the best trial had of the hyper-parameters
that this profile searches. A best trial that this profile cannot try is left out, with a line that
says why.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from pydantic import BaseModel, JsonValue, ValidationError

from benchmarks import datasets, wording
from benchmarks.profiles import ProfileName
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from models import registry
from models.registry import nearest
from sweeps.matrix import choose_cells, list_cells

if TYPE_CHECKING:
    from sweeps.space import Space

Points = dict[str, list[dict[str, JsonValue]]]
"""Of each cell, as variant/dataset."""

_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError)
"""What PyYAML 6 raises: for tags such as `!!int x` and dates such as 2020-13-45 Python's own."""

_EXPONENT = re.compile(r"([-+]?\d+)(\.\d*)?e([-+]?)(\d+)", re.ASCII | re.IGNORECASE)


def read_start_points(paths: Sequence[Path], profile: ProfileName) -> Points:
    """Reads start points from files and results folders, in this order.

    Prints one line for each folder whose best trials are left out in part.

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
    """Reads a JSON or YAML file. Raises InputError if it is neither."""
    try:
        text = path.read_text(encoding="utf-8")
        try:
            return json.loads(text)  # first, as YAML takes the number 1e-3 for text
        except ValueError:
            return yaml.safe_load(text)
    except FileNotFoundError:
        raise InputError(
            f"{where} is not there: name a YAML or JSON file, or an earlier sweep's results folder"
        ) from None
    except RecursionError:
        reason = "it is nested too deeply"
    except (OSError, *_YAML_ERRORS) as error:
        reason = " ".join(str(error).split())
    raise InputError(f"{where} cannot be read ({reason}): correct the file, or name another one")


def _is_point(value: Any) -> bool:
    kinds = bool | int | float | str | None
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(number, kinds) for name, number in value.items()
    )


class _Spec(BaseModel):
    """Holds what start points need of a record's spec."""

    hyperparameters: dict[str, JsonValue]


class _Record(BaseModel):
    """Holds what start points need of a record, which may be an earlier version's."""

    spec: _Spec


def _of_results(results: Path, profile: ProfileName) -> Points:
    """Takes what the best trial of each cell had of the hyper-parameters that a profile searches.

    Prints a line that names the best trials which cannot be tried.
    """
    from sweeps import space

    found: Points = {}
    left_out: list[str] = []
    own = datasets.own_names()
    for ledger in _ledgers(results):
        if ledger.best is None or (ledger.variant, ledger.dataset) not in list_cells(own):
            continue
        variant, dataset = ledger.variant, ledger.dataset
        searched = space.load_space(variant, registry.variant(variant), profile, dataset=dataset)
        point, why = _point_of(RunFolder(results, ledger.best).record, searched)
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


def _point_of(path: Path, space: Space) -> tuple[dict[str, JsonValue], str | None]:
    """Reads a point from a run's record.

    Args:
        path: the record.
        space: the one in which the point is to be tried.

    Returns:
        The searched hyper-parameters that count beside each other, and None; or, if they cannot be
        tried, nothing and the reason.
    """
    try:
        had = _Record.model_validate_json(path.read_bytes()).spec.hyperparameters
    except (OSError, ValidationError):
        return {}, f"{path.parent.name} has no record that can be read"
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
    """Checks a cell's points, and leaves out what they need not say.

    Args:
        space: the cell's.
        points: searched hyper-parameters, and others where they have the recipe's value.
        cell: its name, for messages.

    Returns:
        The points, of searched hyper-parameters alone.

    Raises:
        InputError: for an unknown name, a value outside its range, a value whose condition does
            not hold, or a value other than the recipe's of what is not searched.
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
            fault = _Fault(reason, "leave it out, or have the point say that, too")
            raise _refused(cell, name, value, fault)
    return found


class _Fault(NamedTuple):
    """Says why a value cannot be tried."""

    reason: str
    """What follows the value in a sentence."""
    remedy: str


def _refused(cell: str, name: str, value: JsonValue, fault: _Fault) -> InputError:
    given = wording.given(value)
    return InputError(f"--start: {cell}: {name} = {given} {fault.reason}: {fault.remedy}")


def _fault(space: Space, name: str, value: JsonValue) -> _Fault | None:
    """Says what is wrong with a value of a known hyper-parameter; None: nothing."""
    from sweeps.space import contains, range_text

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
    """Writes a text's number as YAML 1.1 reads one: with a point, and the exponent with a sign."""
    found = _EXPONENT.fullmatch(text.strip())
    if found is None:
        return "1.0e-3"
    whole, part, sign, exponent = found.groups()
    return f"{whole}{part if part and part != '.' else '.0'}e{sign or '+'}{exponent}"
