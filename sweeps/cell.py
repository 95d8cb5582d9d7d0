"""One cell of a sweep: its study's trials, then its finals."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial

from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import ResultsFolder
from benchmarks.records.ledger import CellLedger, Planned
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec
from sweeps import pruners, space
from sweeps.cell_ledger import ledger_of
from sweeps.cell_records import CellRecords
from sweeps.cell_specs import SEED, CellSpecs
from sweeps.engines import Job
from sweeps.importance import importance
from sweeps.proposals import Proposal, Proposals, best
from sweeps.pruners import FrozenPruner
from sweeps.stored_trials import Enqueued, same_result
from sweeps.studies import StoredStudy

NOTHING = Planned()


class State(StrEnum):
    """Where a trial is between its proposal and the study."""

    proposed = "proposed"
    """None of its runs was asked for."""
    waiting = "waiting"
    """Its next run waits for its base, which has not ended."""
    running = "running"
    """Its next run was asked for, and has not ended."""
    ready = "ready"
    """One of its runs has ended, and the next of its seeds was not asked for."""
    finished = "finished"
    """Its last run has ended. The study takes it after the trials before it."""


@dataclass
class _Trial:
    proposal: Proposal
    state: State = State.proposed
    run_id: str | None = None
    """The run that it waits for."""
    records: list[RunRecord] = field(default_factory=list)
    finished: FrozenTrial | None = None


class Chosen(NamedTuple):
    """Holds what finals repeat."""

    params: Mapping[str, Any]
    """Searched hyper-parameters, by name."""
    run_ids: Sequence[str]
    """The runs of the trial that had them; none for the recipe of a cell without trials."""


class Cell:
    """What remains to do in a cell, decided by its records alone.

    `next()` gives the next job as far as known results allow; `take()` takes its record.

    Args:
        specs: makes the specs of the cell's runs.
        planned: how many trials and finals are asked for. A plan that the ledger has grows to this,
            and never shrinks.
        results: the results folder.
        storage: of the studies.
        more: how many trials and finals are added to the plan.

    Raises:
        InputError: if the cell was begun with other data, or otherwise than it is specified now.
    """

    def __init__(
        self,
        specs: CellSpecs,
        planned: Planned,
        *,
        results: Path,
        storage: optuna.storages.BaseStorage,
        more: Planned = NOTHING,
    ) -> None:
        self.specs, self.study, self.strategy = specs, specs.study, specs.strategy
        self.variant, self.dataset = specs.variant, specs.dataset
        self._results = results
        self._records = CellRecords(results, self.strategy)
        self._old = self._read_ledger()
        self._require_data()
        self._stored = StoredStudy(
            storage,
            self.study,
            directions=specs.objectives,
            identity=specs.identity(),
            lag=specs.profile.lag,
        )
        self._proposals = Proposals(
            specs.space,
            study=self.study,
            seed=SEED,
            directions=specs.objectives,
            lag=specs.profile.lag,
            startup=specs.profile.startup,
            sampler=self.strategy.sampler,
            start=specs.start,
        )
        before = self._old.planned if self._old else Planned()
        self._retries = self._old.retries if self._old else 0
        trials = max(planned.trials, before.trials, self._stored.count)
        self.trials_wanted = trials + more.trials
        self.finals_wanted = max(planned.finals, before.finals) + more.finals
        self._trials: dict[int, _Trial] = {}
        """By number, the proposed trials that the study does not have yet."""
        self._enqueued: dict[int, Enqueued] = {}
        """By the number of their trial, the points that a user enqueued in the stored study."""
        self._waiting: list[Job] = []
        """Jobs that wait for the run of their base."""
        self._asked_finals: set[str] = set()
        self.finals: dict[str, RunRecord] = {}
        self.bases: dict[str, RunRecord | None] = {}
        """By run id, those asked for; None before they have ended."""
        self._recover_trials()
        if self._proposals.limit is not None:
            self.trials_wanted = min(self.trials_wanted, self._proposals.limit)
        self._take_enqueued()
        self._recover_finals()
        self._changed = False
        self.held: str | None = None
        """Why this cell rests in this sweep: another process holds one of its runs."""

    def _read_ledger(self) -> CellLedger | None:
        """Reads the ledger, which alone knows the plan and the retries so far."""
        try:
            return CellLedger.read(self._ledger)
        except FileNotFoundError:
            return None

    def _require_data(self) -> None:
        """Checks that the data is in the state with which the cell was begun."""
        now = self.specs.data
        if self._old is not None and self._old.data != now.state:
            raise InputError(
                f"study {self.study} was begun with other data (was {printable(self._old.data)}, "
                f"now {now.state}): name the folder of its data with --data, or choose another "
                "--results folder"
            )

    def _recover_trials(self) -> None:
        """Takes the stored trials, up to the first one that the records do not confirm.

        `next` repeats the others, and asks for those of their runs that have no record. From the
        first one on whose result differs, the study is rewritten.
        """
        for trial in self._stored.unconfirmed():
            result = self._records.result_of(trial)
            if result is None or not same_result(result, trial):
                return
            self._proposals.skip(trial)
            self._stored.confirm()

    def _recover_finals(self) -> None:
        """Takes the bases and finals whose records are there."""
        for base in self._bases_wanted:
            self._has_ended(base)
        for spec in self._final_specs():
            record = self._records.read(spec.run_id, weights=True)
            if record is not None:
                self._asked_finals.add(spec.run_id)
                self.finals[spec.run_id] = record

    @property
    def _ledger(self) -> Path:
        return ResultsFolder(self._results).ledger(self.study)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that the study has, in the order of their numbers, without a gap."""
        return self._stored.trials

    @property
    def best(self) -> Chosen | None:
        """Chooses what finals repeat: the best trial, or the recipe where no trial is planned.

        Returns:
            None before all trials are done, and where all failed.
        """
        if len(self.trials) < self.trials_wanted:
            return None
        if self.trials_wanted == 0:
            return Chosen(self.specs.space.recipe, ())
        trial = best(self.trials, self.specs.objectives)
        return None if trial is None else Chosen(trial.params, trial.user_attrs["run_ids"])

    @property
    def made_otherwise(self) -> Mapping[str, str]:
        """Returns by run id how the conditions of a run differed: see `CellRecords`."""
        return self._records.made_otherwise

    @property
    def plan(self) -> Planned:
        """Returns how many trials and finals the cell shall have."""
        return Planned(trials=self.trials_wanted, finals=self.finals_wanted)

    @property
    def left(self) -> int:
        """How many runs remain, at most."""
        return 0 if self.done else max(0, self.planned - self.finished)

    @property
    def planned(self) -> int:
        """How many runs the cell has in all."""
        trials = self.trials_wanted * self.strategy.seeds
        return trials + self.finals_wanted + len(self._bases_wanted)

    @property
    def finished(self) -> int:
        """How many runs of the cell have ended."""
        bases = sum(record is not None for record in self.bases.values())
        early = sum(trial.state is State.finished for trial in self._trials.values())
        return (len(self.trials) + early) * self.strategy.seeds + len(self.finals) + bases

    @property
    def done(self) -> bool:
        """Whether nothing remains to do."""
        if len(self.trials) < self.trials_wanted:
            return False
        return self.best is None or len(self.finals) == self.finals_wanted

    @property
    def failure(self) -> str | None:
        """Why the cell, which is done, has no final; None where it has one."""
        if self.best is None:
            reasons = [t.user_attrs["reason"] for t in self.trials if t.user_attrs["reason"]]
            return "no trial completed" + (f"; the first: {reasons[0]}" if reasons else "")
        if not any(record.status == "complete" for record in self.finals.values()):
            reasons = [r.reason for r in self.finals.values() if r.reason]
            return "no final completed" + (f"; the first: {reasons[0]}" if reasons else "")
        return None

    def next(self) -> Job | None:
        """Gives the next job.

        A job whose record is on disk already is taken as done. A job whose base has not ended
        waits for it, and the base's run comes first.

        Returns:
            None where results are awaited, or nothing remains.
        """
        while (job := self._released() or self._wanted()) is not None:
            base = job.spec.base
            final = job.spec.role == "final"
            if (record := self._records.read(job.spec.run_id, weights=final)) is not None:
                self.take(record)
            elif base is None or self._has_ended(base):
                self._mark(job, State.running)
                return job
            else:
                self._waiting.append(job)
                self._mark(job, State.waiting)
                if base.run_id not in self.bases:
                    self.bases[base.run_id] = None
                    return Job(base, self.study)
        return None

    def _released(self) -> Job | None:
        """Gives a job that waited for its base, which has ended."""
        for job in self._waiting:
            if job.spec.base is not None and self._has_ended(job.spec.base):
                self._waiting.remove(job)
                return job
        return None

    def _has_ended(self, base: RunSpec) -> bool:
        if self.bases.get(base.run_id) is None:
            record = self._records.read(base.run_id, weights=True)
            if record is None:
                return False
            self.bases[base.run_id] = record
        return True

    def _mark(self, job: Job, state: State) -> None:
        """Puts the trials that wait for a job into a state."""
        for trial in self._trials.values():
            if trial.run_id == job.spec.run_id:
                trial.state = state

    def _wanted(self) -> Job | None:
        """Gives a job that was not asked for before."""
        return self._trial_job() or self._final_job() or self._base_job()

    def _trial_job(self) -> Job | None:
        while (trial := self._open_trial()) is not None:
            proposal = trial.proposal
            job = self._job_of(proposal.number, proposal.params, len(trial.records))
            # Another trial may have asked for an equal run.
            equal = [t for t in self._trials.values() if t.run_id == job.spec.run_id]
            trial.run_id = job.spec.run_id
            if not equal:
                return job
            trial.state = equal[0].state
        return None

    def _open_trial(self) -> _Trial | None:
        """Finds a trial whose next run was not asked for, or has one proposed."""
        for trial in self._trials.values():
            if trial.state in (State.proposed, State.ready):
                return trial
        if self._proposals.proposed >= self.trials_wanted or not self._proposals.ready:
            return None
        earlier = self._stored.earlier(self._proposals.proposed)
        repeated = None if earlier is None else self._proposals.repeat(earlier)
        trial = _Trial(repeated or self._proposals.propose())
        self._trials[trial.proposal.number] = trial
        return trial

    def _final_job(self) -> Job | None:
        for spec in self._final_specs():
            if spec.run_id not in self._asked_finals:
                self._asked_finals.add(spec.run_id)
                return Job(spec, self.study)
        return None

    def _base_job(self) -> Job | None:
        """Gives a base that the ledger names and whose record is gone, as it was damaged."""
        named = self._old.bases if self._old else []
        for base in self._bases_wanted:
            gone = base.run_id in named and base.run_id not in self.bases
            if gone and not self._has_ended(base):
                self.bases[base.run_id] = None
                return Job(base, self.study)
        return None

    def _final_specs(self) -> list[RunSpec]:
        """Specifies the finals; none before the best trial is known."""
        chosen = self.best
        if chosen is None:
            return []
        return [self.specs.final(n, chosen.params) for n in range(self.finals_wanted)]

    def _job_of(self, number: int, params: Mapping[str, Any], place: int) -> Job:
        """Makes the job of a trial's run: its only one, or the one at a place of several."""
        stop = None
        if self.strategy.prunes_epochs:
            stop = self._frozen(self._pruner, number, self._pruner_notes)
        return Job(self.specs.trial(number, params, place), self.study, stop)

    @cached_property
    def _pruner(self) -> optuna.pruners.BasePruner:
        """Stops runs of trials between epochs."""
        profile, epochs = self.specs.profile, self.specs.trial_budget.epochs
        return pruners.make(self.strategy.pruner, profile=profile, epochs=epochs)

    @cached_property
    def _pruner_notes(self) -> pruners.Notes:
        return pruners.Notes(self._pruner, self.specs.direction, self.study)

    def _frozen(
        self,
        pruner: optuna.pruners.BasePruner,
        number: int,
        notes: pruners.Notes | None = None,
    ) -> FrozenPruner:
        known = self._proposals.known(number)
        return FrozenPruner(pruner, known, self.specs.direction, self.study, number, notes)

    @cached_property
    def _importance(self) -> dict[str, float]:
        """Of searched hyper-parameters, by name: asked for once all trials are in the study."""
        return importance(self.trials, self.specs.direction)

    @cached_property
    def _bases_wanted(self) -> list[RunSpec]:
        return self.specs.bases(self.trials_wanted, self.finals_wanted)

    def take(self, record: RunRecord) -> None:
        """Takes a record of a job that `next` gave; `store` then writes what follows from it."""
        if record.role == "base":
            self.bases[record.run_id] = record
        elif record.role == "final":
            self.finals[record.run_id] = record
        for trial in [t for t in self._trials.values() if t.run_id == record.run_id]:
            self._take_run(trial, record)
        self._changed = True

    def _take_run(self, trial: _Trial, record: RunRecord) -> None:
        trial.run_id = None
        trial.records.append(record)
        stopped = self._stops(trial)
        if len(trial.records) < self.strategy.seeds and record.status != "failed" and not stopped:
            trial.state = State.ready
            return
        trial.state = State.finished
        trial.finished = trial.proposal.finished(
            trial.records, cost=self.strategy.cost, stopped=stopped
        )
        self._proposals.finish(trial.proposal.number, trial.finished)
        while (first := self._trials.get(len(self.trials))) and first.finished is not None:
            del self._trials[first.proposal.number]
            enqueued = self._enqueued.get(first.proposal.number)
            self._stored.append(first.finished, enqueued.place if enqueued else None)

    def _stops(self, trial: _Trial) -> bool:
        """Whether a trial over several seeds is stopped before it had them all."""
        left = self.strategy.seeds - len(trial.records)
        if left < 1 or any(r.status == "failed" for r in trial.records):
            return False
        pruner = self._frozen(pruners.over_seeds(), trial.proposal.number)
        return pruner([record.score for record in trial.records])

    def store(self) -> None:
        """Writes the study and the ledger, where they have changed.

        Not in `take`, so that a worker need not wait for it. What a crash loses of it, a resumed
        sweep takes from the records.

        Raises:
            InputError: if the study cannot be written.
        """
        if self._changed:
            self._stored.store()
            self._take_enqueued()
            self.write()
            self._changed = False

    def _take_enqueued(self) -> None:
        """Plans a trial for each point that a user enqueued; prints which can't be tried.

        Not before the stored trials are repeated, which have their numbers.
        """
        if self._stored.earlier(self._proposals.proposed) is not None:
            return
        for enqueued in self._stored.enqueued():
            wrong = [
                name for name, value in enqueued.params.items() if not self._tries(name, value)
            ]
            if wrong:
                print(
                    f"capsbench: study {self.study} cannot try the enqueued trial {enqueued.place} "
                    f"({', '.join(wrong)} not in its space): it is left waiting",
                    file=sys.stderr,
                )
                continue
            number = self._proposals.enqueue(self.specs.space.point(enqueued.params))
            self._enqueued[number] = enqueued
            if number >= self.trials_wanted:
                self.trials_wanted = number + 1
                for property_of_plan in ("_bases_wanted", "_importance"):
                    self.__dict__.pop(property_of_plan, None)

    def _tries(self, name: str, value: object) -> bool:
        distribution = self.specs.space.distributions.get(name)
        return distribution is not None and space.contains(distribution, value)

    def retry(self) -> None:
        """Counts that one of its runs is begun again, since its worker died."""
        self._retries += 1
        self.write()

    def write(self) -> None:
        """Writes the cell's ledger, from which reports know which finals count.

        While the records of stored trials are only being confirmed or made again, the ledger keeps
        what it says of trials and finals.
        """
        known = {"planned": self.plan, "retries": self._retries, "left": self.left}
        if self._old and self._stored.agrees and self._old.states.finished > len(self.trials):
            self._old.model_copy(update=known).write(self._ledger)
            return
        chosen = self.best
        for record in self.finals.values():
            self._stored.note_final(record)
        ledger_of(
            self.specs,
            self.trials,
            **known,
            best=next(iter(chosen.run_ids), None) if chosen else None,
            finals=sorted(self.finals),
            bases=sorted(run_id for run_id, record in self.bases.items() if record),
            importance=self._importance if chosen else {},
            reason=self.failure if self.done else None,
        ).write(self._ledger)
