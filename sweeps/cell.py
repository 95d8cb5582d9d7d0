"""One cell of a sweep: its study's trials, then its finals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import JsonValue

from benchmarks import metrics
from benchmarks.datasets.dataset import DataSource
from benchmarks.profiles import Profile
from benchmarks.provenance import code_version
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger, Planned, PrunedEpochs, States
from benchmarks.records.record import RunRecord
from benchmarks.records.seeds import derive
from benchmarks.records.spec import Budget, Direction, Role, RunSpec
from benchmarks.specification import Machine, data_of, specify
from models import registry
from sweeps import pruners, space
from sweeps.counts import bases_of
from sweeps.engines import Job
from sweeps.importance import importance
from sweeps.proposals import Proposal, Proposals, best
from sweeps.pruners import FrozenPruner
from sweeps.strategy import Sampler
from sweeps.studies import StoredStudy

SEED = 0
"""The base seed of all sweeps: what is repeated shall be equal."""


@dataclass
class _Trial:
    """A proposed trial and the runs it has had."""

    proposal: Proposal
    records: list[RunRecord] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.proposal.number


class Chosen(NamedTuple):
    """Holds what finals repeat."""

    params: Mapping[str, Any]
    """Searched hyper-parameters, by name."""
    run_ids: Sequence[str]
    """The runs of the trial that had them; none for the recipe of a cell without trials."""


class Cell:
    """What remains to do in a cell, decided by its records alone.

    `next()` gives the next job as far as known results allow; `take()` takes its record.
    """

    def __init__(
        self,
        variant: str,
        dataset: str,
        *,
        profile: Profile,
        trials: int,
        finals: int,
        source: DataSource,
        results: Path,
        storage: optuna.storages.BaseStorage,
        sampler: Sampler | None = None,
        device: Literal["cpu", "cuda"] = "cpu",
        start: Sequence[Mapping[str, JsonValue]] = (),
    ) -> None:
        self.variant, self.dataset, self.profile = variant, dataset, profile
        self.task = registry.available()[variant].task
        self.study = f"{variant}-{dataset}-{profile.name}"
        self._results, self._device, self._source = results, device, source
        self._space = self._space_of(variant)
        self.strategy = self._space.strategy.sampled_by(sampler)
        self._rests_on = registry.variant(variant).rests_on
        points: list[Any] = [self._space.point(point) for point in start]
        self._trial_budget = self._space.budget(profile, "trial")
        self.data = data = data_of(self.task, dataset, self._trial_budget, source)
        self.directions = metrics.directions(self.task, dataset)
        self.metric, self.direction = next(iter(self.directions.items()))
        self.objectives: list[Direction] = [self.direction]
        if self.strategy.cost is not None:
            self.objectives.append("minimize")
        self._stored = StoredStudy(
            storage,
            self.study,
            directions=self.objectives,
            identity={
                "space": self._space.identity(),
                "start": points,
                "base": self._rests_on and self._space_of(self._rests_on).identity(),
                "budget": self._trial_budget.model_dump(mode="json"),
                "data": f"{data.state}, {data.sha256}",
                "strategy": self.strategy.model_dump(mode="json"),
                "lag": profile.lag,
                "startup": profile.startup,
                "warmup": profile.warmup,
                "threads": profile.threads,
                "device": device,
                "seed": SEED,
            },
        )
        self._proposals = Proposals(
            self._space,
            study=self.study,
            seed=SEED,
            directions=self.objectives,
            lag=profile.lag,
            startup=profile.startup,
            sampler=self.strategy.sampler,
            start=points,
        )
        planned, self._retries = self._kept()
        # A plan grows, and never shrinks.
        self.trials_wanted = max(trials, planned.trials, len(self.trials))
        if self._proposals.limit is not None:
            self.trials_wanted = min(self.trials_wanted, self._proposals.limit)
        self.finals_wanted = max(finals, planned.finals)
        self._open: dict[str, list[_Trial]] = {}
        """The trials that wait for a run, by its id."""
        self._ready: list[_Trial] = []
        """The trials whose next run is to be made."""
        self._early: dict[int, FrozenTrial] = {}
        self._lost: list[Job] = []
        self.finals: dict[str, RunRecord] = {}
        self._asked_finals: set[str] = set()
        self.bases: dict[str, RunRecord | None] = {}
        """By run id, those asked for; None while it is being made."""
        self._waiting: list[Job] = []
        self._recover()
        self._changed = False
        self.write()

    def _space_of(self, variant: str) -> space.Space:
        return space.load(
            variant, registry.variant(variant), self.profile.name, dataset=self.dataset
        )

    def _kept(self) -> tuple[Planned, int]:
        """What the ledger alone knows: the plan, and the retries so far."""
        try:
            ledger = CellLedger.read(self._ledger)
        except FileNotFoundError:
            return Planned(), 0
        return ledger.planned, ledger.retries

    def _recover(self) -> None:
        """Takes what the study and the records say; trials whose records are gone are remade."""
        for trial in self.trials:
            self._proposals.skip(trial)
            for place, run_id in enumerate(trial.user_attrs["run_ids"]):
                if RunFolder(self._results, run_id).kept() is None:
                    self._lost.append(self._trial_job(trial.number, trial.params, place))
        for base in self._bases_wanted:
            self._has(base)
        if self.best is not None:
            for number in range(self.finals_wanted):
                spec = self._final(self.best, number)
                record_of_final = RunFolder(self._results, spec.run_id).kept()
                if record_of_final is not None:
                    self._asked_finals.add(spec.run_id)
                    self.finals[spec.run_id] = record_of_final

    @property
    def _ledger(self) -> Path:
        return ResultsFolder(self._results).ledger(self.study)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The finished trials, in the order of their numbers, without a gap."""
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
            return Chosen(self._space.recipe, ())
        trial = best(self.trials, self.objectives)
        return None if trial is None else Chosen(trial.params, trial.user_attrs["run_ids"])

    @property
    def mixes_code(self) -> bool:
        """Whether trials were made by other code than is here now."""
        return any(t.user_attrs["code_version"] != code_version() for t in self.trials)

    @property
    def left(self) -> int:
        """Runs that remain, or as many at most."""
        return 0 if self.done else max(0, self.planned - self.finished)

    @property
    def planned(self) -> int:
        """Runs of this cell in all."""
        trials = self.trials_wanted * self.strategy.seeds
        return trials + self.finals_wanted + len(self._bases_wanted)

    @property
    def finished(self) -> int:
        """Runs of this cell that have ended."""
        bases = sum(record is not None for record in self.bases.values())
        trials = (len(self.trials) + len(self._early)) * self.strategy.seeds
        return trials + len(self.finals) + bases

    @property
    def done(self) -> bool:
        """Whether nothing remains to do."""
        if len(self.trials) < self.trials_wanted or self._lost:
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
        """The next job, or None where results are awaited or nothing remains.

        A job whose record is on disk already is taken as done. One that rests on another run waits
        for it, which is made first.
        """
        while (job := self._released() or self._next()) is not None:
            record = RunFolder(self._results, job.spec.run_id).kept()
            if record is not None:
                self.take(record)
                continue
            base = job.spec.base
            if base is None or self._has(base):
                return job
            self._waiting.append(job)
            if base.run_id not in self.bases:
                self.bases[base.run_id] = None
                return Job(base, self.study)
        return None

    def _released(self) -> Job | None:
        """A job that waited for its base, which has ended."""
        for job in self._waiting:
            if job.spec.base is not None and self._has(job.spec.base):
                self._waiting.remove(job)
                return job
        return None

    def _has(self, base: RunSpec) -> bool:
        if self.bases.get(base.run_id) is None:
            record = RunFolder(self._results, base.run_id).kept()
            if record is None:
                return False
            self.bases[base.run_id] = record
        return True

    def _next(self) -> Job | None:
        if self._lost:
            return self._lost.pop()
        while self._ready or self._proposals.proposed < self.trials_wanted:
            if self._ready:
                trial = self._ready.pop(0)
            elif self._proposals.ready:
                trial = _Trial(self._proposals.propose())
            else:
                return None
            job = self._trial_job(trial.number, trial.proposal.params, len(trial.records))
            waiting = self._open.setdefault(job.spec.run_id, [])
            waiting.append(trial)
            if len(waiting) == 1:  # another trial may ask for an equal run
                return job
        if self.best is not None:
            for number in range(self.finals_wanted):
                spec = self._final(self.best, number)
                if spec.run_id not in self._asked_finals:
                    self._asked_finals.add(spec.run_id)
                    return Job(spec, self.study)
        return None

    def _trial_job(self, number: int, params: dict[str, Any], place: int) -> Job:
        """The run of a trial: its only one, or the one of several that has this place."""
        stop = None
        if self.strategy.prunes_epochs:
            epochs = self._trial_budget.epochs
            pruner = pruners.make(self.strategy.pruner, profile=self.profile, epochs=epochs)
            stop = self._frozen(pruner, number)
        return Job(self.trial_spec(number, params, place), self.study, stop)

    def trial_spec(self, number: int, params: dict[str, Any], place: int = 0) -> RunSpec:
        """What a trial's run at this place, of several seeds, is to be."""
        several = self.strategy.seeds > 1
        # All trials have the same seeds, so that they can be compared in pairs.
        seed = derive(SEED, place=place) if several else derive(SEED, trial=number)
        return self._spec("trial", params, seed, base=0)

    def _frozen(self, pruner: optuna.pruners.BasePruner, number: int) -> FrozenPruner:
        known = self._proposals.known(number)
        return FrozenPruner(pruner, known, self.direction, self.study, number)

    def _final(self, best: Chosen, number: int) -> RunSpec:
        # The same seeds for every variant, so that finals can be compared in pairs.
        return self._spec("final", best.params, derive(SEED, final=number), base=number)

    def _spec(self, role: Role, params: Mapping[str, Any], seed: int, *, base: int) -> RunSpec:
        """Specifies a run. Trials are built on base 0, each final on one of its own."""
        return self._specified(
            self.variant, role, hyperparameters=params, seed=seed, base=self._base(base, role)
        )

    def _base(self, number: int, upper: Role) -> RunSpec | None:
        """Specifies the base with a number for a run of the role `upper`, if it needs one."""
        if self._rests_on is None:
            return None
        seed = derive(SEED, base=number)
        return self._specified(self._rests_on, "base", seed=seed, budget_role=upper)

    def _specified(self, variant: str, role: Role, **rest: Any) -> RunSpec:
        return specify(
            variant,
            self.dataset,
            profile=self.profile,
            role=role,
            source=self._source,
            machine=Machine(device=self._device),
            **rest,
        )

    @cached_property
    def _bases_wanted(self) -> list[RunSpec]:
        """Specifies the bases of this cell's runs, each once."""
        if self._rests_on is None:
            return []
        lower = self._space_of(self._rests_on)

        def budget_of(role: Role) -> Budget:
            return lower.budget(self.profile, role)

        wanted = bases_of(self.trials_wanted, self.finals_wanted, budget_of)
        bases = [self._base(number, role) for number, role in wanted]
        return [base for base in bases if base is not None]

    def take(self, record: RunRecord) -> None:
        """Takes a record of a job that `next` gave; `store` then writes what follows from it."""
        trials = self._open.pop(record.run_id, [])
        if record.spec.role == "base":
            self.bases[record.run_id] = record
        elif record.spec.role == "final":
            self.finals[record.run_id] = record
        for trial in trials:
            self._take_run(trial, record)
        self._changed = True

    def store(self) -> None:
        """Writes the study and the ledger, where they have changed.

        Not in `take`, so that a worker need not wait for it. What a crash loses of it, a resumed
        sweep takes from the records. Raises InputError where the study cannot be written.
        """
        if self._changed:
            self._stored.store()
            self.write()
            self._changed = False

    def retry(self) -> None:
        """Counts that one of its runs is begun again, as its worker died."""
        self._retries += 1
        self.write()

    def _take_run(self, trial: _Trial, record: RunRecord) -> None:
        trial.records.append(record)
        stopped = self._stops(trial)
        if len(trial.records) < self.strategy.seeds and record.status != "failed" and not stopped:
            self._ready.append(trial)
            return
        finished = trial.proposal.finished(trial.records, cost=self.strategy.cost, stopped=stopped)
        self._proposals.finish(trial.number, finished)
        self._early[trial.number] = finished
        while len(self.trials) in self._early:
            self._stored.append(self._early.pop(len(self.trials)))

    def _stops(self, trial: _Trial) -> bool:
        """Whether a trial over several seeds is stopped before it had them all."""
        left = self.strategy.seeds - len(trial.records)
        if left < 1 or any(r.status == "failed" for r in trial.records):
            return False
        pruner = self._frozen(pruners.over_seeds(), trial.number)
        return pruner([record.score for record in trial.records])

    def _states(self) -> States:
        """Counts how trials ended."""
        return States(**Counter(trial.state.name.lower() for trial in self.trials))

    def _epochs(self) -> PrunedEpochs:
        """Counts the epochs of pruned trials; of several seeds, whole runs."""
        each, seeds = self._trial_budget.epochs, self.strategy.seeds
        pruned = [t for t in self.trials if t.state == TrialState.PRUNED]
        had = sum(len(t.intermediate_values) for t in pruned)
        unit, whole = (1, each) if seeds == 1 else (each, each * seeds)
        return PrunedEpochs(had=had * unit, saved=whole * len(pruned) - had * unit)

    @cached_property
    def _importance(self) -> dict[str, float]:
        """Of the whole study: asked for once all its trials are there, at each final's end."""
        return importance(self.trials, self.direction)

    def write(self) -> None:
        """Writes the cell's ledger, from which reports know which finals count."""
        winner = self.best
        run_ids = dict.fromkeys(r for t in self.trials for r in t.user_attrs["run_ids"])
        CellLedger(
            study=self.study,
            variant=self.variant,
            dataset=self.dataset,
            task=self.task,
            profile=self.profile.name.value,
            metric=self.metric,
            directions=self.directions,
            data=self.data.state,
            planned=Planned(trials=self.trials_wanted, finals=self.finals_wanted),
            trials=list(run_ids),
            best=next(iter(winner.run_ids), None) if winner else None,
            cost=self.strategy.cost,
            states=self._states(),
            epochs=self._epochs(),
            retries=self._retries,
            left=self.left,
            finals=sorted(self.finals),
            bases=sorted(run_id for run_id, record in self.bases.items() if record),
            importance=self._importance if winner else {},
            reason=self.failure if self.done else None,
        ).write(self._ledger)
