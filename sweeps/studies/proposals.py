"""Proposes trials that do not depend on the number of workers.

Trial n of a study is proposed from the results of trials 0 … n - lag alone, by a sampler seeded
from (study, n). The trials are therefore the same for any number of workers up to the lag, any
order in which they finish, and after any crash. Pruning follows the same rule: a run receives the
history of trials 0 … n - lag.

Trial 0 is the recipe. The trials after it are the start points of the user, which the mirror study
receives through Optuna's `enqueue_trial`.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from threadpoolctl import threadpool_limits

from benchmarks.records.errors import InputError
from benchmarks.records.record import RunRecord
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import Direction
from sweeps.studies import samplers
from sweeps.studies.planned_points import most_trials, planned_points
from sweeps.studies.space import Space
from sweeps.studies.stored_trials import was_enqueued
from sweeps.studies.study_configuration import Sampler

NEWEST = 2_000
"""Samplers see at least this number of the newest trials, and less than twice this number."""

BEST = 100
"""Samplers also see this number of the best among the older trials."""


@dataclass(frozen=True)
class Proposal:
    """Holds the hyper-parameters that a trial shall try."""

    number: int
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]

    def finished(
        self, records: list[RunRecord], *, cost: str | None = None, stopped: bool = False
    ) -> FrozenTrial:
        """Makes the finished trial in Optuna's form, from the records of its runs alone.

        The steps of its intermediate values are epochs; with several seeds, they are runs.

        Args:
            records: the records of the trial's runs, in the order of its seeds.
            cost: the name of the cost that is the second objective, if any.
            stopped: whether the trial was stopped before its last seed.

        Returns:
            The trial.
        """
        state, reason = _state(records, cost, stopped)
        several = stopped or len(records) > 1
        history = _scores(records) if several else records[0].history
        values: list[float] | None = None
        if state == TrialState.COMPLETE:
            values = [sum(r.score for r in records) / len(records)]
            values += [] if cost is None else [float(records[0].costs[cost] or 0)]
        elif state == TrialState.PRUNED and cost is None:
            values = history[-1:]  # as Optuna does
        return create_trial(
            state=state,
            values=values,
            params=self.params,
            distributions=self.distributions,
            intermediate_values=dict(enumerate(history, start=1)),
            user_attrs={
                "run_ids": [record.run_id for record in records],
                "reason": reason,
                "traceback": next((r.traceback for r in records if r.traceback), None),
                "seconds": sum(record.costs["seconds"] or 0.0 for record in records),
                "code_version": records[0].provenance.code_version,
            },
        )


def _scores(records: list[RunRecord]) -> list[float]:
    return [record.score for record in records if record.status != "failed"]


def _state(
    records: list[RunRecord], cost: str | None, stopped: bool
) -> tuple[TrialState, str | None]:
    for record in records:
        if record.status == "failed":
            return TrialState.FAIL, record.reason
    if cost is not None and records[0].costs.get(cost) is None:
        return TrialState.FAIL, f"its {cost} are not known"
    if stopped or any(record.status == "pruned" for record in records):
        return TrialState.PRUNED, None
    return TrialState.COMPLETE, None


class WindowedStorage(InMemoryStorage):
    """Stores a study, and shows samplers only its newest trials and the best of the older ones.

    This bounds the time of a proposal in a long study. The window moves by blocks of `NEWEST`
    trials, so that it depends on the number of trials alone. With two objectives, samplers see all
    trials.
    """

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = super().get_all_trials(study_id, deepcopy, states)
        directions = self.get_study_directions(study_id)
        count = len(super().get_all_trials(study_id, deepcopy=False))
        old = (count // NEWEST - 1) * NEWEST
        if old <= 0 or len(directions) > 1:
            return trials
        sign = 1 if directions[0] == StudyDirection.MAXIMIZE else -1
        others = [t for t in trials if t.number < old and t.state == TrialState.COMPLETE]
        others = heapq.nlargest(BEST, others, key=lambda t: (sign * t.values[0], -t.number))
        others.sort(key=lambda t: t.number)
        return others + [t for t in trials if t.number >= old]


class Proposals:
    """Proposes the trials of one study in the order of their numbers.

    The sampler works on a mirror of the study in memory. The mirror has all trials before the next
    one: those whose results the next trial may know as finished, the others as running.

    Args:
        space: the search space of the study.
        study: the name of the study.
        seed: the base seed.
        directions: which way each objective is better.
        lag: trial n is proposed from the results of trials 0 … n - lag.
        startup: the number of trials that the sampler draws at random first.
        sampler: the sampler.
        start: whole points that are tried after the recipe.

    Raises:
        InputError: if the sampler cannot search the space.
    """

    def __init__(
        self,
        space: Space,
        *,
        study: str,
        seed: int,
        directions: list[Direction],
        lag: int,
        startup: int,
        sampler: Sampler = Sampler.tpe,
        start: Sequence[dict[str, Any]] = (),
    ) -> None:
        samplers.check_sampler(sampler, space, study)
        self._space, self._lag, self._startup, self._sampler = space, lag, startup, sampler
        self._seed = derive_seed(seed, study=study)
        self._enqueued: dict[int, dict[str, Any]] = {}
        """By number, the points that a user enqueued while the study grew."""
        self._planned = planned_points(space, start, sampler=sampler, seed=self._seed)
        self._storage = WindowedStorage()
        self._mirror = optuna.create_study(storage=self._storage, directions=directions)
        self._results: dict[int, FrozenTrial] = {}
        self._repeated: dict[int, FrozenTrial] = {}
        """By number, the trials that were repeated without the sampler."""
        self._shown = 0
        """The number of trials in the mirror."""
        self._ended = 0
        """The number of trials in the mirror that are finished."""
        self.proposed = 0
        """The number of trials that were proposed, which is the number of the next one."""

    @property
    def limit(self) -> int | None:
        """Returns the largest possible number of trials: see `most_trials`; None: no limit."""
        most = most_trials(self._space, self._sampler, self._planned)
        return None if most is None else most + len(self._enqueued)

    def enqueue(self, point: dict[str, Any]) -> int:
        """Plans a point for the first trial that is free, after the recipe.

        Args:
            point: the searched hyper-parameters, by name.

        Returns:
            The number of the trial.
        """
        number = max(1, self.proposed, *(n + 1 for n in self._enqueued))
        self._enqueued[number] = point
        return number

    def _point(self, number: int) -> dict[str, Any] | None:
        """Returns the planned point of a trial; None if the sampler proposes the trial."""
        planned = number - sum(n < number for n in self._enqueued)
        following = self._planned[planned] if planned < len(self._planned) else None
        return self._enqueued.get(number, following)

    @property
    def ready(self) -> bool:
        """Returns whether all results are known that the next proposal uses."""
        return all(n in self._results for n in range(self._ended, self._known(self.proposed)))

    def _known(self, number: int) -> int:
        """Counts the results that trial `number` may know."""
        return max(0, number - self._lag + 1)

    def propose(self) -> Proposal:
        """Proposes the next trial; the caller checks first that this object is `ready`.

        Returns:
            The proposal.
        """
        number = self.proposed
        self._show(number)
        self._mirror.sampler = samplers.make_sampler(
            self._sampler,
            self._space,
            seed=self._seed,
            number=number,
            startup=self._startup,
        )
        if (point := self._point(number)) is not None:
            self._mirror.enqueue_trial(point)
        # The number of threads decides the last bits of sums, so it must not depend on the machine.
        with threadpool_limits(1):
            trial = self._mirror.ask()
            self._space.suggest(trial)
        self._shown = self.proposed = number + 1
        return Proposal(number, trial.params, trial.distributions)

    def _show(self, number: int) -> None:
        """Adds to the mirror the trials and results that trial `number` may know."""
        known = self._known(number)
        for n in range(self._ended, min(known, self._shown)):
            self._end_trial(n, self._results[n])
        for n in range(self._shown, number):
            running = n >= known
            trial = self._repeated[n] if running else self._results[n]
            self._mirror.add_trial(_seen(trial, running=running))
        self._ended, self._shown = known, number

    def _end_trial(self, number: int, result: FrozenTrial) -> None:
        """Finishes a running trial of the mirror, as if it had been added as a finished trial."""
        storage, mirror = self._storage, self._mirror
        if len(mirror.directions) == 1:
            study_id = storage.get_study_id_from_name(mirror.study_name)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
            for step, value in _last(result).items():
                storage.set_trial_intermediate_value(trial_id, step, value)
        complete = result.state == TrialState.COMPLETE
        mirror.tell(number, result.values if complete else None, state=result.state)

    def skip(self, trial: FrozenTrial) -> None:
        """Takes the next trial from the stored study as proposed and finished.

        Args:
            trial: the stored trial.

        Raises:
            InputError: if this version proposes another trial.
        """
        number = self.proposed
        if self.repeat(trial) is None and self.propose().params != trial.params:
            raise InputError(
                f"trial {number} of the stored study is not what this version proposes: "
                "choose another --results folder"
            )
        self._results[number] = trial

    def repeat(self, trial: FrozenTrial) -> Proposal | None:
        """Proposes the next trial as the stored study has it, without the sampler.

        Args:
            trial: the stored trial, which must have been proposed from the results known here.

        Returns:
            The proposal; None if the sampler must propose again. CMA-ES must, because it keeps its
            state as pickles in its trials, and pickles of a storage are not read.
        """
        number = self.proposed
        if was_enqueued(trial):
            self._enqueued[number] = trial.params
        if self._sampler is Sampler.cmaes:
            return None
        self._repeated[number] = trial
        self.proposed += 1
        return Proposal(number, trial.params, trial.distributions)

    def finish(self, number: int, trial: FrozenTrial) -> None:
        """Takes the result of a proposed trial. Trials may finish in any order.

        Args:
            number: the number of the trial.
            trial: the finished trial.
        """
        self._results[number] = trial

    def known(self, number: int) -> list[FrozenTrial]:
        """Returns the finished trials that a trial may know, in the order of their numbers.

        Args:
            number: the number of the trial.
        """
        return [self._results[n] for n in range(self._known(number))]


def _seen(trial: FrozenTrial, *, running: bool) -> FrozenTrial:
    """Copies what samplers use of a trial: of a pruned one the last value, and no attributes."""
    return create_trial(
        state=TrialState.RUNNING if running else trial.state,
        params=trial.params,
        distributions=trial.distributions,
        values=trial.values if not running and trial.state == TrialState.COMPLETE else None,
        intermediate_values={} if running else _last(trial),
    )


def _last(trial: FrozenTrial) -> dict[int, float]:
    """Returns the last step of a trial with its value; empty if the trial has no step."""
    steps = trial.intermediate_values
    return {max(steps): steps[max(steps)]} if steps else {}


def best_trial(trials: list[FrozenTrial], directions: list[Direction]) -> FrozenTrial | None:
    """Finds the complete trial that is best by the first objective, then by the next.

    Args:
        trials: the trials in the order of their numbers.
        directions: which way each objective is better.

    Returns:
        The trial, the first of equally good ones; None if no trial is complete.
    """
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(
        complete,
        key=lambda trial: [s * v for s, v in zip(signs, trial.values, strict=True)],
        default=None,
    )
