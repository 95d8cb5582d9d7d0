"""Counts the runs of a cell, for the plan and for the cell itself, so that the two agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from benchmarks.records.spec import Budget, Role
from benchmarks.specs.profiles import Profile
from sweeps.options import Options
from sweeps.studies.planned_points import most_trials, planned_points
from sweeps.studies.space import Space


def count_trials(
    choice: Options, profile: Profile, space: Space, points: Sequence[Mapping[str, JsonValue]]
) -> int:
    """Counts the trials of a study, so that it can try all its start points.

    Args:
        choice: the options of the sweep.
        profile: the profile of the sweep.
        space: the search space of the cell.
        points: the points that the study tries after the recipe.

    Returns:
        The number of the options, or one trial for the recipe and for each point, whichever is
        larger; at most the number of different trials that the study can have.
    """
    start = [space.point(point) for point in points]
    needed = len(planned_points(space, start)) if start else 0
    wanted = max(choice.trials_asked(profile), needed)
    sampler = space.configuration.sampled_by(choice.sampler).sampler
    most = most_trials(space, sampler, planned_points(space, start, sampler=sampler))
    return wanted if most is None else min(wanted, most)


def list_bases(
    trials: int, finals: int, budget_of: Callable[[Role], Budget]
) -> list[tuple[int, Role]]:
    """Lists the different bases of a cell whose variant is built on another variant.

    Each final has a base of its own. All trials share one base. It is the base of the first final
    if the bases of trials and finals have equal budgets.

    Args:
        trials: the number of trials.
        finals: the number of finals.
        budget_of: returns the budget of a base from the role of the runs that are built on it.

    Returns:
        For each base, the number that decides its seed, and the role of the runs that are built on
        it.
    """
    found: list[tuple[int, Role]] = [(number, "final") for number in range(finals)]
    if trials and not (finals and budget_of("trial") == budget_of("final")):
        found.append((0, "trial"))
    return found
