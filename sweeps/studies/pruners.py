"""Prunes runs by a history that does not change: runs that train meanwhile have no influence."""

from __future__ import annotations

import warnings
from collections.abc import Container
from dataclasses import InitVar, dataclass, field
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.records.spec import Direction
from benchmarks.specs.profiles import Profile
from sweeps.studies.study_configuration import (
    Halving,
    Hyperband,
    Median,
    NoPruner,
    Percentile,
    Pruner,
)

# Optuna logs a line per study in memory, which would hide the progress of a sweep. Drivers and
# workers both import this module.
optuna.logging.set_verbosity(optuna.logging.WARNING)

HISTORIES = 1000
"""A run is compared with at most this number of finished trials, the newest ones."""


def make_pruner(pruner: Pruner, *, profile: Profile, epochs: int) -> BasePruner:
    """Makes Optuna's pruner for runs whose epochs are counted from 1.

    Args:
        pruner: the pruner and its settings, from the space file.
        profile: the profile of the sweep, which has the startup and warmup.
        epochs: the number of epochs of a run.

    Returns:
        The pruner.
    """
    match pruner:
        case NoPruner():
            return optuna.pruners.NopPruner()
        case Median():
            # The first epoch that may be pruned is warmup + 1.
            return optuna.pruners.MedianPruner(profile.startup, profile.warmup + 1)
        case Percentile(percentile=percentile):
            return optuna.pruners.PercentilePruner(percentile, profile.startup, profile.warmup + 1)
        case Halving(min_epochs=first, factor=factor):
            return optuna.pruners.SuccessiveHalvingPruner(first, factor)
        case Hyperband(min_epochs=first, factor=factor):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.pruners.HyperbandPruner(min(first, epochs), epochs, factor)


def make_seed_pruner() -> BasePruner:
    """Makes the pruner that stops a trial of several seeds.

    It stops a trial once the trial's runs, compared seed by seed, are worse than the best trial's.

    Returns:
        Optuna's WilcoxonPruner.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner()


class PrunerNotes:
    """Computes the rungs that trials reached, which successive halving stores as attributes.

    The attributes of a trial do not depend on other trials, so the pruner sees each trial once and
    alone.

    Args:
        pruner: the pruner of the study.
        direction: which way the objective is better.
        study: the name of the study.
    """

    def __init__(self, pruner: BasePruner, direction: Direction, study: str) -> None:
        self._study = _study(_Newest(), pruner, direction, study)
        self._notes: list[dict[str, Any]] = []

    def of(self, trials: list[FrozenTrial]) -> list[dict[str, Any]]:
        """Returns the attributes of finished trials, in the order of their numbers.

        Args:
            trials: the finished trials; each call repeats the trials of the calls before it, in
                the same order.

        Returns:
            The attributes of each trial. They are empty if more than `HISTORIES` newer trials were
            given when the trial was first given.
        """
        for number in range(len(self._notes), len(trials)):
            again = self._study.ask()  # Hyperband chooses the bracket by the trial's number
            if number >= len(trials) - HISTORIES:
                for step, value in trials[number].intermediate_values.items():
                    again.report(value, step)
                    again.should_prune()
            (noted,) = self._study.get_trials(deepcopy=False)
            self._notes.append(noted.system_attrs)
            self._study.tell(again, state=TrialState.FAIL)
        return self._notes


class _Newest(InMemoryStorage):
    """Stores a study, and shows its pruner only the newest trial."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return super().get_all_trials(study_id, deepcopy, states)[-1:]


def keeps_notes(pruner: BasePruner) -> bool:
    """Returns whether a pruner compares trials by attributes that it stores, not only by values.

    Args:
        pruner: the pruner.
    """
    return isinstance(
        pruner, optuna.pruners.SuccessiveHalvingPruner | optuna.pruners.HyperbandPruner
    )


@dataclass
class FrozenPruner:
    """Decides with Optuna's pruner and a fixed history whether a run stops.

    Calling it with the scores after all steps so far returns whether the run stops now.

    Args:
        pruner: Optuna's pruner.
        known: the finished trials that the run is compared with, in the order of their numbers.
        direction: which way the objective is better.
        study: the name of the study.
        number: the number of the run's trial.
        notes: the notes of the study, if they have been computed already.
    """

    pruner: BasePruner
    known: list[FrozenTrial]
    direction: Direction
    study: str
    number: int
    notes: InitVar[PrunerNotes | None] = None
    _first: int = field(default=0, init=False)
    """The number of the first trial of `known`."""
    _study: optuna.Study | None = field(default=None, init=False)
    _reported: int = field(default=0, init=False)

    def __post_init__(self, notes: PrunerNotes | None) -> None:
        noted: list[dict[str, Any]] = []
        if keeps_notes(self.pruner):
            noted = (notes or PrunerNotes(self.pruner, self.direction, self.study)).of(self.known)
        self._first = max(0, len(self.known) - HISTORIES)
        # Only what is compared is kept, because a job is sent to a worker.
        self.known = [
            create_trial(
                state=trial.state,
                values=trial.values,
                intermediate_values={} if noted else trial.intermediate_values,
                system_attrs=noted[number] if noted else {},
            )
            for number, trial in enumerate(self.known[self._first :], start=self._first)
        ]

    def __call__(self, scores: list[float]) -> bool:
        if self._study is None:
            self._study = self._history()
            self._trial = self._study.ask()
        stop = False
        for score in scores[self._reported :]:
            self._reported += 1
            self._trial.report(score, self._reported)
            stop = self._trial.should_prune()
        return stop

    def _history(self) -> optuna.Study:
        study = _study(InMemoryStorage(), self.pruner, self.direction, self.study)
        older, under_way = self._first, self.number - self._first - len(self.known)
        # Empty trials keep the numbers, by which Hyperband chooses the bracket.
        empty = create_trial(state=TrialState.FAIL)
        study.add_trials([*[empty] * older, *self.known, *[empty] * under_way])
        return study


def _study(
    storage: InMemoryStorage, pruner: BasePruner, direction: Direction, name: str
) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction=direction,
        pruner=pruner,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
