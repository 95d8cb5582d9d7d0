"""Counts a cell's runs: once for the plan and for the cell itself, so that the two agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from benchmarks.profiles import Profile
from benchmarks.records.spec import Budget, Role
from sweeps.options import Options
from sweeps.proposals import most_trials, planned_points
from sweeps.space import Space


def count_trials(
    choice: Options, profile: Profile, space: Space, points: Sequence[Mapping[str, JsonValue]]
) -> int:
    """Counts the trials of a study that has enough of them to try all its start points.

    Args:
        choice: the sweep's options.
        profile: the sweep's.
        space: the cell's.
        points: those that the study starts from, beside the recipe.

    Returns:
        As many as the options ask for, or as the recipe and the points need, if that is more. No
        more than there are different trials.
    """
    start = [space.point(point) for point in points]
    needed = len(planned_points(space, start)) if start else 0
    wanted = max(choice.trials_asked(profile), needed)
    sampler = space.strategy.sampled_by(choice.sampler).sampler
    most = most_trials(space, sampler, planned_points(space, start, sampler=sampler))
    return wanted if most is None else min(wanted, most)


def list_bases(
    trials: int, finals: int, budget_of: Callable[[Role], Budget]
) -> list[tuple[int, Role]]:
    """Lists the different bases of a cell whose variant is built on another one.

    Each final has a base of its own. All trials share one base: the first final's, where the
    budgets of the two are equal.

    Args:
        trials: how many there are.
        finals: how many there are.
        budget_of: gives the base's budget for a trial, and for a final.

    Returns:
        For each base, the number that decides its seed, and the role of the runs that are built on
        it.
    """
    found: list[tuple[int, Role]] = [(number, "final") for number in range(finals)]
    if trials and not (finals and budget_of("trial") == budget_of("final")):
        found.append((0, "trial"))
    return found
