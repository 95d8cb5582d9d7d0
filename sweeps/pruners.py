"""Pruning over a history that no longer changes: what runs beside a run does not end it."""

from __future__ import annotations

import warnings
from collections.abc import Container
from dataclasses import InitVar, dataclass, field
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.profiles import Profile
from benchmarks.records.spec import Direction
from sweeps.study_configuration import Halving, Hyperband, Median, NoPruner, Percentile, Pruner

# A line for each study in memory would drown the progress. Said here, for drivers and workers both.
optuna.logging.set_verbosity(optuna.logging.WARNING)

HISTORIES = 1000
"""As many finished trials, the newest, a run is compared with."""


def make_pruner(pruner: Pruner, *, profile: Profile, epochs: int) -> BasePruner:
    """Optuna's pruner, for runs of so many epochs, counted from 1."""
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
    """Stops a trial over several seeds once its runs are, seed by seed, worse than the best's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner()


class PrunerNotes:
    """What a pruner of successive halving notes of a study's trials: the rungs that each reached.

    A trial's notes do not depend on the others, so each trial is shown to the pruner once, alone.
    """

    def __init__(self, pruner: BasePruner, direction: Direction, study: str) -> None:
        self._study = _study(_Newest(), pruner, direction, study)
        self._notes: list[dict[str, Any]] = []

    def of(self, trials: list[FrozenTrial]) -> list[dict[str, Any]]:
        """Returns the notes of finished trials, in the order of their numbers.

        A call is given all trials of the calls before; of those that are older than HISTORIES when
        they are first given it returns none.
        """
        for number in range(len(self._notes), len(trials)):
            again = self._study.ask()  # brackets go by numbers
            if number >= len(trials) - HISTORIES:
                for step, value in trials[number].intermediate_values.items():
                    again.report(value, step)
                    again.should_prune()
            (noted,) = self._study.get_trials(deepcopy=False)
            self._notes.append(noted.system_attrs)
            self._study.tell(again, state=TrialState.FAIL)
        return self._notes


class _Newest(InMemoryStorage):
    """A study of which only the newest trial is seen."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return super().get_all_trials(study_id, deepcopy, states)[-1:]


def keeps_notes(pruner: BasePruner) -> bool:
    """Whether a pruner compares trials by its notes, and not by their values alone."""
    return isinstance(
        pruner, optuna.pruners.SuccessiveHalvingPruner | optuna.pruners.HyperbandPruner
    )


@dataclass
class FrozenPruner:
    """A stock pruner over finished trials, for trial `number` of a study.

    Called with the metric after each step so far: stop here? `notes` are the study's, if its cell
    has them already.
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
        # What is compared alone: a job is sent to a worker.
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
        empty = create_trial(state=TrialState.FAIL)  # in its place: brackets go by numbers
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
