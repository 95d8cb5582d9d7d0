"""Describes the hyper-parameters of a variant and what studies search: `capsbench options`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks import wording
from benchmarks.specs import profiles
from benchmarks.specs.profiles import ProfileName
from models import registry
from models.variant import SourceBudget, Variant
from sweeps.studies import space
from sweeps.studies.space import Space

_SHORT = 30
"""Bounds with fewer characters are not broken between lines."""


def describe(variant: str) -> RenderableType:
    """Describes a variant's hyper-parameters: defaults, bounds, meaning; presets, profiles, search.

    Args:
        variant: the name of the variant.

    Returns:
        Tables that rich prints in the width of the terminal.
    """
    cls = registry.variant(variant)
    spaces = {name: space.load_space(variant, cls, name) for name in ProfileName}
    searching = {name: spaces[name] for name in ProfileName if profiles.load_profile(name).trials}
    parts: list[RenderableType] = [Text(registry.available()[variant].summary, style="italic"), ""]
    parts.append(_hyperparameters(cls))
    parts += _section("Presets, by dataset", _presets(cls))
    parts += _section("Values other than the defaults, by profile", _settings(cls, spaces))
    parts += _section("Searched by `capsbench sweep`", _searched(searching))
    parts += _section("Budget of the source, for profiles paper and published", _sources(cls))
    return Group(*parts)


def _hyperparameters(cls: type[Variant]) -> Table:
    table = _table("hyper-parameter", "default", "what it is, and may be")
    for name, field in cls.Config.model_fields.items():
        meaning = Text(field.description or "")
        meaning.append(f"  ({_unbroken(wording.bounds(field))})", style="dim")
        table.add_row(name, wording.value(field.default), meaning)
    return table


def _unbroken(text: str) -> str:
    """Keeps a short text in one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}") if len(text) < _SHORT else text


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(headings[-1])
    return table


def _section(title: str, rows: Iterator[tuple[str, ...]]) -> list[RenderableType]:
    """Makes a table with a title and no column headings; nothing if it has no row."""
    found = list(rows)
    if not found:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    for _ in found[0][1:]:
        table.add_column()
    for row in found:
        table.add_row(*row)
    return ["", Text(title, style="bold"), Padding(table, (0, 0, 0, 2))]


def _presets(cls: type[Variant]) -> Iterator[tuple[str, ...]]:
    for dataset, values in cls.presets.items():
        yield dataset, _values(values)


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={wording.value(value)}" for name, value in values.items())


def _settings(cls: type[Variant], spaces: Mapping[ProfileName, Space]) -> Iterator[tuple[str, ...]]:
    defaults = {name: getattr(cls.Config(), name) for name in cls.Config.model_fields}
    for name, chosen in spaces.items():
        values = chosen.resolve({})
        apart = {key: value for key, value in values.items() if value != defaults[key]}
        if apart:
            yield name.value, _values(apart)


def _searched(spaces: Mapping[ProfileName, Space]) -> Iterator[tuple[str, ...]]:
    """Yields one row per name and range: the name, the range, and the profiles with this range."""
    names = dict.fromkeys(name for chosen in spaces.values() for name in chosen.distributions)
    for name in names:
        ranges: dict[str, list[str]] = {}
        for profile, chosen in spaces.items():
            if name in chosen.distributions:
                ranges.setdefault(_range(chosen, name), []).append(profile.value)
        for place, (bounds, where) in enumerate(ranges.items()):
            yield "" if place else name, bounds, _among(where, [*spaces])


def _range(chosen: Space, name: str) -> str:
    text = space.range_text(chosen.distributions[name])
    if getattr(chosen.distributions[name], "log", False):
        text += ", logarithmic"
    if condition := chosen.condition(name):
        text += f", if {condition}"
    return text


def _among(where: list[str], profiles: list[ProfileName]) -> str:
    """Lists profiles, or names the one that is missing, whichever is shorter."""
    missing = [name.value for name in profiles if name.value not in where]
    if len(missing) > 1 or len(where) == 1:
        return ", ".join(where)
    return f"all but {missing[0]}" if missing else "all profiles"


def _sources(cls: type[Variant]) -> Iterator[tuple[str, ...]]:
    for dataset, budget in cls.published_budgets.items():
        yield dataset, f"{_spent(budget)} ({budget.source})"


def _spent(budget: SourceBudget) -> str:
    counted = f"{budget.epochs:,} epochs" if budget.epochs else f"{budget.steps:,} steps"
    held = f", {budget.validation_samples:,} held out" if budget.validation_samples else ""
    return f"{counted}, {budget.train_samples:,} samples per epoch{held}"
