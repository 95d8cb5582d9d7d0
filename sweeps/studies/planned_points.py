"""Lists the points that a study tries before its sampler proposes any, and bounds its trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sweeps.studies import samplers
from sweeps.studies.space import Space
from sweeps.studies.study_configuration import Sampler


def planned_points(
    space: Space,
    start: Sequence[dict[str, Any]],
    *,
    sampler: Sampler | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Lists the different points that a study tries before its sampler proposes any.

    Args:
        space: the search space of the study.
        start: whole points that are tried after the recipe.
        sampler: the sampler of the study; a grid adds all its points. None: no grid.
        seed: decides the order of a grid.

    Returns:
        The points in the order of their trials; the first is the recipe.
    """
    grid = samplers.grid_points(space, seed=seed) if sampler is Sampler.grid else []
    return _distinct([space.recipe, *start, *grid])


def most_trials(space: Space, sampler: Sampler, planned: Sequence[dict[str, Any]]) -> int | None:
    """Counts the different trials that a study can have.

    Args:
        space: the search space of the study.
        sampler: the sampler of the study.
        planned: the points that the study tries before its sampler proposes any.

    Returns:
        1 if nothing is searched; the number of planned points if the sampler is a grid; else None,
        because the sampler proposes without end.
    """
    if not space.distributions:
        return 1
    return len(planned) if sampler is Sampler.grid else None


def _distinct(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Removes repeated points and keeps the order; numbers that agree to 12 digits are equal."""
    found: dict[str, dict[str, Any]] = {}
    for point in points:
        found.setdefault(repr({n: _rounded(v) for n, v in point.items()}), point)
    return list(found.values())


def _rounded(value: Any) -> Any:
    return float(f"{value:.12g}") if isinstance(value, float) else value
