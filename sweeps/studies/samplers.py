"""Makes samplers, which propose trial n of a study from (study, n) and earlier results alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from benchmarks.records.errors import InputError
from benchmarks.records.seeds import derive_seed
from sweeps.studies.space import Space
from sweeps.studies.study_configuration import Sampler

GRID_POINTS = 4
"""The number of grid values of a range without steps."""


def make_sampler(
    name: Sampler, space: Space, *, seed: int, number: int, startup: int
) -> BaseSampler:
    """Makes the sampler of one trial, without state from other trials.

    Args:
        name: the kind of the sampler.
        space: the search space of the study.
        seed: the seed of the study.
        number: the number of the trial.
        startup: the number of trials that the sampler draws at random first.

    Returns:
        Optuna's sampler.
    """
    own = derive_seed(seed, trial=number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case Sampler.tpe:
                return optuna.samplers.TPESampler(
                    seed=own,
                    n_startup_trials=startup,
                    multivariate=True,
                    group=True,
                    constant_liar=False,
                )
            case Sampler.gp:
                return optuna.samplers.GPSampler(seed=own, n_startup_trials=startup)
            case Sampler.cmaes:
                return optuna.samplers.CmaEsSampler(
                    seed=own, n_startup_trials=startup, warn_independent_sampling=False
                )
            case Sampler.qmc:
                return Sobol(space, seed=seed, number=number)
            case Sampler.random | Sampler.grid:
                return optuna.samplers.RandomSampler(seed=own)


def check_sampler(name: Sampler, space: Space, where: str) -> None:
    """Checks that a sampler can search a space.

    Args:
        name: the kind of the sampler.
        space: the search space.
        where: the name of the study, for the message.

    Raises:
        InputError: if the sampler is CMA-ES, and the space has fewer than two ranges without
            conditions.
    """
    free = [
        key
        for key, distribution in space.distributions.items()
        if not isinstance(distribution, CategoricalDistribution) and not space.conditions[key]
    ]
    if name is Sampler.cmaes and len(free) < 2:
        raise InputError(
            f"{where}: cmaes needs two ranges without conditions, and the space has {len(free)}: "
            "choose another sampler"
        )


class Sobol(BaseSampler):
    """Proposes point n of a scrambled Sobol sequence over the whole space, including choices.

    Unlike `optuna.samplers.QMCSampler` it does not count earlier trials, so that a resumed study
    continues the same sequence.

    Args:
        space: the search space.
        seed: decides how the sequence is scrambled.
        number: the number of the trial.
    """

    def __init__(self, space: Space, *, seed: int, number: int) -> None:
        from scipy.stats import qmc

        names = list(space.distributions)
        sequence = qmc.Sobol(max(1, len(names)), scramble=True, rng=np.random.default_rng(seed))
        if number:
            sequence.fast_forward(number)
        self._point = dict(zip(names, sequence.random()[0], strict=False))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return _at(param_distribution, float(self._point[param_name]))


def _at(distribution: BaseDistribution, share: float) -> Any:
    """Maps a share in [0, 1] to a value of a distribution."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[min(int(share * len(choices)), len(choices) - 1)]
        case FloatDistribution(low=low, high=high, log=log, step=None):
            if log:
                return min(high, low * math.exp(share * math.log(high / low)))
            return low + share * (high - low)
        case IntDistribution(low=low, high=high, log=True):
            # Each integer gets the share between the half steps below and above it.
            edge = math.log(low - 0.5) + share * math.log((high + 0.5) / (low - 0.5))
            return min(high, max(low, round(math.exp(edge))))
        case IntDistribution() | FloatDistribution():
            values = _steps(distribution)
            return values[min(int(share * len(values)), len(values) - 1)]
    raise AssertionError(f"no such distribution: {distribution}")


def _steps(distribution: IntDistribution | FloatDistribution) -> list[Any]:
    step = distribution.step
    assert step is not None
    count = round((distribution.high - distribution.low) / step) + 1
    return [distribution.low + n * step for n in range(count)]


def grid_points(space: Space, *, seed: int) -> list[dict[str, Any]]:
    """Lists every point of a grid over a space once, in random order.

    Args:
        space: the search space.
        seed: decides the order.

    Returns:
        Searched hyper-parameters, by name.
    """
    points = list(_points(space))
    np.random.default_rng(seed).shuffle(points)
    return points


def _points(space: Space) -> Iterator[dict[str, Any]]:
    """Yields each point once; a point leaves out the entries whose condition does not hold."""
    seen = set()
    for values in product(*map(_values, space.distributions.values())):
        point: dict[str, Any] = {}
        for name, value in zip(space.distributions, values, strict=True):
            if space.holds(name, point):
                point[name] = value
        if (key := repr(point)) not in seen:
            seen.add(key)
            yield point


def _values(distribution: BaseDistribution) -> list[Any]:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return list(choices)
        case FloatDistribution(step=None) | IntDistribution(log=True):
            values = [_at(distribution, n / (GRID_POINTS - 1)) for n in range(GRID_POINTS)]
            return list(dict.fromkeys(values))
        case IntDistribution() | FloatDistribution():
            return _steps(distribution)
    raise AssertionError(f"no such distribution: {distribution}")
