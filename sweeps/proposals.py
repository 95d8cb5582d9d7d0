"""Proposals that do not depend on how many workers there are, and pruning that doesn't either.

Trial n of a study is proposed from the results of trials 0 … n - lag alone, by a sampler seeded
from (study, n). Any number of workers up to the lag, any order of finishing, any crash: the same
trials. Pruning follows the same rule: a run is given the history of trials 0 … n - lag.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.seeds import derive
from benchmarks.spec import Direction, RunRecord
from sweeps.space import Space

# A line for each in-memory study would drown the progress.
optuna.logging.set_verbosity(optuna.logging.WARNING)

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True)
class Proposal:
    """What trial `number` shall try."""

    number: int
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]

    def finished(self, record: RunRecord) -> FrozenTrial:
        """The trial as Optuna keeps it, made from its run's record alone."""
        complete = record.status == "complete"
        return create_trial(
            state=_STATES[record.status],
            value=record.score if complete else None,
            params=self.params,
            distributions=self.distributions,
            intermediate_values=dict(enumerate(record.history, start=1)),
            user_attrs={
                "run_id": record.run_id,
                "reason": record.reason,
                "traceback": record.traceback,
                "seconds": record.costs["seconds"],
                "code_version": record.provenance["code_version"],
            },
        )


class Proposals:
    """The trials of one study, proposed in the order of their numbers."""

    def __init__(
        self, space: Space, *, study: str, seed: int, direction: Direction, lag: int, startup: int
    ) -> None:
        self._space, self._seed, self._lag, self._startup = (
            space,
            derive(seed, study=study),
            lag,
            startup,
        )
        self._mirror = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), direction=direction
        )
        self._results: dict[int, FrozenTrial] = {}
        self._told = 0
        self.proposed = 0

    @property
    def ready(self) -> bool:
        """Whether the results that the next proposal is made of are known."""
        return all(n in self._results for n in range(self._told, self._known(self.proposed)))

    def _known(self, number: int) -> int:
        """How many results trial `number` may know of."""
        return max(0, number - self._lag + 1)

    def propose(self) -> Proposal:
        """The next trial. Only when `ready`."""
        number = self.proposed
        self._tell(self._known(number))
        self._mirror.sampler = self._sampler(number)
        trial = self._mirror.ask()
        self._space.suggest(trial)
        self.proposed += 1
        # Its result comes later, as a trial of its own; until then samplers shall not see it.
        self._mirror.tell(trial, state=TrialState.FAIL)
        return Proposal(number, trial.params, trial.distributions)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=derive(self._seed, trial=number) % 2**32,
                n_startup_trials=self._startup,
                multivariate=True,
                group=True,
                constant_liar=False,
            )

    def skip(self, trial: FrozenTrial) -> None:
        """Takes the next trial as proposed and finished: it is in the stored study."""
        self._results[self.proposed] = trial
        self.proposed += 1

    def finish(self, number: int, trial: FrozenTrial) -> None:
        """Takes the result of a proposed trial; in any order."""
        self._results[number] = trial

    def _tell(self, count: int) -> None:
        for number in range(self._told, count):
            self._mirror.add_trial(self._results[number])
        self._told = max(self._told, count)

    def known(self, number: int) -> list[FrozenTrial]:
        """The finished trials that trial `number` may know of."""
        return [self._results[n] for n in range(self._known(number))]


@dataclass(frozen=True)
class FrozenPruner:
    """Optuna's median pruner over a history that no longer changes.

    Called with the metric after each epoch so far: stop here?
    """

    known: list[FrozenTrial]
    direction: Direction
    startup: int
    warmup: int

    def __call__(self, scores: list[float]) -> bool:
        study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), direction=self.direction
        )
        study.add_trials(self.known)
        running = create_trial(
            state=TrialState.RUNNING, intermediate_values=dict(enumerate(scores, start=1))
        )
        # Steps are epochs, counted from 1: the first that may be pruned is warmup + 1.
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=self.startup, n_warmup_steps=self.warmup + 1
        )
        return bool(pruner.prune(study, running))


def best(trials: list[FrozenTrial], direction: Direction) -> FrozenTrial | None:
    """The best complete trial, the first of equals; None where none is complete."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    if not complete:
        return None
    pick = max if direction == "maximize" else min
    return pick(complete, key=lambda t: t.value or 0.0)
