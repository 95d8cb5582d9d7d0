"""Pruning over a history that no longer changes: what runs beside a run does not end it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.profiles import Profile
from benchmarks.records.spec import Direction
from sweeps.strategy import Halving, Hyperband, Median, NoPruner, Percentile, Pruner

# A line for each study in memory would drown the progress. Said here, for drivers and workers both.
optuna.logging.set_verbosity(optuna.logging.WARNING)

HISTORIES = 1000
"""As many finished trials, the newest, a run is compared with by median or percentile."""


def make(pruner: Pruner, *, profile: Profile, epochs: int) -> BasePruner:
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


def over_seeds() -> BasePruner:
    """Stops a trial over several seeds once its runs are, seed by seed, worse than the best's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner()


@dataclass
class FrozenPruner:
    """A stock pruner over finished trials, for trial `number` of a study.

    Called with the metric after each step so far: stop here?
    """

    pruner: BasePruner
    known: list[FrozenTrial]
    direction: Direction
    study: str
    number: int
    _study: optuna.Study | None = field(default=None, init=False)
    _reported: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self._compares_steps:
            self.known = self.known[-HISTORIES:]
        # The histories alone: a job is sent to a worker.
        self.known = [
            create_trial(
                state=trial.state,
                values=trial.values,
                intermediate_values=trial.intermediate_values,
            )
            for trial in self.known
        ]

    @property
    def _compares_steps(self) -> bool:
        """Whether trials are compared by their values alone, and not by notes that pruners keep."""
        return isinstance(
            self.pruner, optuna.pruners.PercentilePruner | optuna.pruners.WilcoxonPruner
        )

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
        study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            study_name=self.study,
            direction=self.direction,
            pruner=self.pruner,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        if self._compares_steps:
            study.add_trials(self.known)
            return study
        for trial in self.known:
            again = study.ask()
            for step, value in trial.intermediate_values.items():
                again.report(value, step)
                again.should_prune()  # which notes the rungs that it reached
            study.tell(
                again,
                trial.values if trial.state == TrialState.COMPLETE else None,
                state=trial.state,
            )
        for _ in range(len(self.known), self.number):  # under way: brackets go by numbers
            study.tell(study.ask(), state=TrialState.FAIL)
        return study
