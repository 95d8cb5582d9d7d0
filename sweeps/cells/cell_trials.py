"""Decides which runs the trials of a cell need, and which trial its finals repeat."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial

from benchmarks.records.record import RunRecord
from sweeps.cells.cell_records import CellRecords
from sweeps.cells.cell_specs import SEED, CellSpecs
from sweeps.engines import Job
from sweeps.studies import pruners, space
from sweeps.studies.proposals import Proposal, Proposals, best_trial
from sweeps.studies.pruners import FrozenPruner
from sweeps.studies.stored_trials import EnqueuedPoint, same_result
from sweeps.studies.study_store import StoredStudy


class State(StrEnum):
    """Names the states of a trial between its proposal and its storage in the study."""

    proposed = "proposed"
    """No run of the trial has been requested."""
    waiting = "waiting"
    """The next run of the trial waits for its base, which has not ended."""
    running = "running"
    """The next run of the trial has been requested, and has not ended."""
    ready = "ready"
    """A run of the trial has ended, and the run with the next seed has not been requested."""
    finished = "finished"
    """The last run has ended. The study takes the trial after all trials with smaller numbers."""


@dataclass
class _OpenTrial:
    """Holds a proposed trial that the study does not have yet."""

    proposal: Proposal
    state: State = State.proposed
    run_id: str | None = None
    """The id of the run that the trial waits for."""
    records: list[RunRecord] = field(default_factory=list)
    finished: FrozenTrial | None = None


class FinalParameters(NamedTuple):
    """Holds the hyper-parameters that finals repeat, and the runs that had them."""

    params: Mapping[str, Any]
    """Searched hyper-parameters, by name."""
    run_ids: Sequence[str]
    """The ids of the best trial's runs; empty for the recipe of a cell without trials."""


class CellTrials:
    """Decides which runs the trials of a cell need, from the records of the runs before.

    Args:
        specs: makes the specs of the cell's runs.
        records: reads the records of the cell's runs.
        stored: the stored study of the cell.
        wanted: how many trials the cell shall have. A study with fewer different trials gets those;
            points that a user enqueued raise the number.

    Raises:
        InputError: if the stored trials are not those that this version proposes, or the sampler
            cannot search the space.
    """

    def __init__(
        self, specs: CellSpecs, records: CellRecords, stored: StoredStudy, wanted: int
    ) -> None:
        self._specs, self._records, self._stored = specs, records, stored
        self._configuration = specs.configuration
        self.wanted = wanted
        self._proposals = Proposals(
            specs.space,
            study=specs.study,
            seed=SEED,
            directions=specs.objectives,
            lag=specs.profile.lag,
            startup=specs.profile.startup,
            sampler=self._configuration.sampler,
            start=specs.start,
        )
        self._open: dict[int, _OpenTrial] = {}
        """By number, the proposed trials that the study does not have yet."""
        self._enqueued: dict[int, EnqueuedPoint] = {}
        """By the number of its trial, each point that a user enqueued in the stored study."""
        self._recover()
        if self._proposals.limit is not None:
            self.wanted = min(self.wanted, self._proposals.limit)

    def _recover(self) -> None:
        """Takes the stored trials, up to the first one that the records do not confirm.

        `next_job` repeats the trials after it, and requests those of their runs that have no
        record. The study is rewritten from the first trial on whose result differs.
        """
        for trial in self._stored.unconfirmed():
            result = self._records.result_of(trial)
            if result is None or not same_result(result, trial):
                return
            self._proposals.skip(trial)
            self._stored.confirm()

    @property
    def finished(self) -> list[FrozenTrial]:
        """Returns the trials that the study has, in the order of their numbers, without a gap."""
        return self._stored.trials

    @property
    def all_finished(self) -> bool:
        """Returns whether the study has all trials that the cell shall have."""
        return len(self.finished) >= self.wanted

    @property
    def finished_runs(self) -> int:
        """Counts the runs of finished trials, with those that the study does not have yet.

        A trial that was stopped before its last seed counts as if it had run them all.
        """
        early = sum(trial.state is State.finished for trial in self._open.values())
        return (len(self.finished) + early) * self._configuration.seeds

    @property
    def best(self) -> FinalParameters | None:
        """Chooses what finals repeat: the best trial, or the recipe if no trial is planned.

        Returns:
            The hyper-parameters; None before all trials have finished, and if all have failed.
        """
        if not self.all_finished:
            return None
        if self.wanted == 0:
            return FinalParameters(self._specs.space.recipe, ())
        trial = best_trial(self.finished, self._specs.objectives)
        return None if trial is None else FinalParameters(trial.params, trial.user_attrs["run_ids"])

    def next_job(self) -> Job | None:
        """Returns the next run that a trial needs.

        Two trials that need equal runs share one job.

        Returns:
            The job; None if no trial needs another run, or the next proposal needs results that
            are not known yet.
        """
        while (trial := self._trial_without_job()) is not None:
            proposal = trial.proposal
            job = self._job_of(proposal.number, proposal.params, len(trial.records))
            # Another trial may have requested an equal run.
            equal = [t for t in self._open.values() if t.run_id == job.spec.run_id]
            trial.run_id = job.spec.run_id
            if not equal:
                return job
            trial.state = equal[0].state
        return None

    def _trial_without_job(self) -> _OpenTrial | None:
        """Finds a trial whose next run has not been requested, or has one proposed."""
        for trial in self._open.values():
            if trial.state in (State.proposed, State.ready):
                return trial
        if self._proposals.proposed >= self.wanted or not self._proposals.ready:
            return None
        earlier = self._stored.earlier(self._proposals.proposed)
        repeated = None if earlier is None else self._proposals.repeat(earlier)
        trial = _OpenTrial(repeated or self._proposals.propose())
        self._open[trial.proposal.number] = trial
        return trial

    def _job_of(self, number: int, params: Mapping[str, Any], place: int) -> Job:
        """Makes the job of a trial's run.

        Args:
            number: the number of the trial.
            params: the searched hyper-parameters.
            place: the number of the run's seed among the seeds of the trial, from 0.
        """
        stop = None
        if self._configuration.prunes_epochs:
            stop = self._frozen(self._pruner, number, self._pruner_notes)
        return Job(self._specs.trial(number, params, place), self._specs.study, stop)

    @cached_property
    def _pruner(self) -> optuna.pruners.BasePruner:
        """Returns the pruner that stops runs of trials between epochs."""
        profile, epochs = self._specs.profile, self._specs.trial_budget.epochs
        return pruners.make_pruner(self._configuration.pruner, profile=profile, epochs=epochs)

    @cached_property
    def _pruner_notes(self) -> pruners.PrunerNotes:
        return pruners.PrunerNotes(self._pruner, self._specs.direction, self._specs.study)

    def _frozen(
        self,
        pruner: optuna.pruners.BasePruner,
        number: int,
        notes: pruners.PrunerNotes | None = None,
    ) -> FrozenPruner:
        """Makes a pruner that compares with the results that trial `number` may know."""
        known = self._proposals.known(number)
        return FrozenPruner(pruner, known, self._specs.direction, self._specs.study, number, notes)

    def mark(self, run_id: str, state: State) -> None:
        """Sets the state of the trials that wait for a run.

        Args:
            run_id: the id of the run.
            state: the new state of the trials.
        """
        for trial in self._open.values():
            if trial.run_id == run_id:
                trial.state = state

    def take_record(self, record: RunRecord) -> None:
        """Takes the record of a run into the trials that wait for it; other records are ignored.

        Args:
            record: the record of a run that has ended.
        """
        for trial in [t for t in self._open.values() if t.run_id == record.run_id]:
            self._take_run(trial, record)

    def _take_run(self, trial: _OpenTrial, record: RunRecord) -> None:
        """Adds a run to a trial, and to the study the trials that are finished and next in it."""
        trial.run_id = None
        trial.records.append(record)
        stopped = self._stops(trial)
        incomplete = len(trial.records) < self._configuration.seeds
        if incomplete and record.status != "failed" and not stopped:
            trial.state = State.ready
            return
        trial.state = State.finished
        trial.finished = trial.proposal.finished(
            trial.records, cost=self._configuration.cost, stopped=stopped
        )
        self._proposals.finish(trial.proposal.number, trial.finished)
        while (first := self._open.get(len(self.finished))) and first.finished is not None:
            del self._open[first.proposal.number]
            enqueued = self._enqueued.get(first.proposal.number)
            self._stored.append(first.finished, enqueued.place if enqueued else None)

    def _stops(self, trial: _OpenTrial) -> bool:
        """Decides whether a trial of several seeds is stopped before its last seed."""
        left = self._configuration.seeds - len(trial.records)
        if left < 1 or any(r.status == "failed" for r in trial.records):
            return False
        pruner = self._frozen(pruners.make_seed_pruner(), trial.proposal.number)
        return pruner([record.score for record in trial.records])

    def take_enqueued(self) -> None:
        """Plans a trial for each point that a user enqueued, and prints which cannot be tried.

        Does nothing before the stored trials are repeated, because these keep their numbers.
        """
        if self._stored.earlier(self._proposals.proposed) is not None:
            return
        for enqueued in self._stored.enqueued():
            wrong = [
                name for name, value in enqueued.params.items() if not self._allows(name, value)
            ]
            if wrong:
                print(
                    f"capsbench: study {self._specs.study} cannot try the enqueued trial "
                    f"{enqueued.place} ({', '.join(wrong)} not in its space): it is left waiting",
                    file=sys.stderr,
                )
                continue
            number = self._proposals.enqueue(self._specs.space.point(enqueued.params))
            self._enqueued[number] = enqueued
            self.wanted = max(self.wanted, number + 1)

    def _allows(self, name: str, value: object) -> bool:
        """Returns whether the cell's space has a hyper-parameter, and its range the value."""
        distribution = self._specs.space.distributions.get(name)
        return distribution is not None and space.contains(distribution, value)
