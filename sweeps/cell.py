"""One cell of a sweep: its study's trials, then its finals."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import FrozenTrial

from benchmarks import protocol, tasks
from benchmarks.files import write_json
from benchmarks.profiles import Profile
from benchmarks.protocol import DataSource
from benchmarks.run import read_record
from benchmarks.seeds import derive
from benchmarks.spec import Role, RunRecord, RunSpec
from models import registry
from sweeps import space
from sweeps.engines import Job
from sweeps.proposals import FrozenPruner, Proposal, Proposals, best
from sweeps.studies import StoredStudy

SEED = 0
"""The base seed of all sweeps: what is repeated shall be equal."""


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
        storage: optuna.storages.RDBStorage,
        device: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        self.variant, self.dataset, self.profile = variant, dataset, profile
        self.task = registry.available()[variant].task
        self.study = f"{variant}-{dataset}-{profile.name}"
        self.finals_wanted = finals
        self._results, self._device = results, device
        self._budget = profile.budgets[self.task]
        self._space = space.load(variant, registry.variant(variant), profile.name)
        # A variant without a choice to make needs one trial.
        wanted = trials if self._space.distributions else 1
        data = protocol.describe(self.task, dataset, budget=self._budget, source=source)
        self.data = data
        self.directions = tasks.of(self.task).directions(dataset)
        self.metric, self.direction = next(iter(self.directions.items()))
        self._stored = StoredStudy(
            storage,
            self.study,
            direction=self.direction,
            identity={
                "space": self._space.identity(),
                "budget": self._budget.model_dump(mode="json"),
                "data": {"state": data.state, "sha256": data.sha256},
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
            direction=self.direction,
            lag=profile.lag,
            startup=profile.startup,
        )
        for trial in self._stored.trials:
            self._proposals.skip(trial)
        self.trials_wanted = max(wanted, len(self._stored.trials))
        self._running: dict[str, Proposal] = {}
        self._early: dict[int, FrozenTrial] = {}
        self.finals: dict[str, RunRecord] = {}
        self._asked_finals: set[str] = set()

    @property
    def trials(self) -> list[FrozenTrial]:
        """The finished trials, in the order of their numbers, without a gap."""
        return self._stored.trials

    @property
    def best(self) -> FrozenTrial | None:
        """The trial that finals repeat; None before all trials are done, or where all failed."""
        if len(self.trials) < self.trials_wanted:
            return None
        return best(self.trials, self.direction)

    @property
    def planned(self) -> int:
        """Runs of this cell in all."""
        return self.trials_wanted + self.finals_wanted

    @property
    def finished(self) -> int:
        """Runs of this cell that have ended."""
        return len(self.trials) + len(self._early) + len(self.finals)

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
        """The next job, or None where results are awaited or nothing remains.

        A job whose record is on disk already is taken as done.
        """
        while (job := self._next()) is not None:
            record = read_record(self._results, job.spec.run_id)
            if record is None:
                return job
            self.take(record)
        return None

    def _next(self) -> Job | None:
        if self._proposals.proposed < self.trials_wanted:
            if not self._proposals.ready:
                return None
            proposal = self._proposals.propose()
            spec = self._spec("trial", proposal.params, derive(SEED, trial=proposal.number))
            self._running[spec.run_id] = proposal
            pruner = FrozenPruner(
                self._proposals.known(proposal.number),
                self.direction,
                self.profile.startup,
                self.profile.warmup,
            )
            return Job(spec, self.study, pruner)
        if self.best is not None and len(self._asked_finals) < self.finals_wanted:
            # The same seeds for every variant, so that finals can be compared in pairs.
            seed = derive(SEED, final=len(self._asked_finals))
            spec = self._spec("final", self.best.params, seed)
            self._asked_finals.add(spec.run_id)
            return Job(spec, self.study)
        return None

    def _spec(self, role: Role, params: dict[str, object], seed: int) -> RunSpec:
        return RunSpec(
            variant=self.variant,
            dataset=self.dataset,
            role=role,
            hyperparameters=self._space.resolve(params),
            seed=seed,
            budget=self._budget,
            threads=self.profile.threads,
            device=self._device,
            data_sha256=self.data.sha256,
        )

    def take(self, record: RunRecord) -> None:
        """Takes a record of a job that `next` gave."""
        proposal = self._running.pop(record.run_id, None)
        if proposal is None:
            self.finals[record.run_id] = record
        else:
            trial = proposal.finished(record)
            self._proposals.finish(proposal.number, trial)
            self._early[proposal.number] = trial
            while len(self.trials) in self._early:
                self._stored.append(self._early.pop(len(self.trials)))
        self.write()

    def write(self) -> None:
        """Writes the cell's ledger, from which reports know which finals count."""
        winner = self.best
        write_json(
            self._results / "cells" / f"{self.study}.json",
            {
                "study": self.study,
                "variant": self.variant,
                "dataset": self.dataset,
                "task": self.task,
                "profile": self.profile.name.value,
                "metric": self.metric,
                "directions": self.directions,
                "data": self.data.state,
                "planned": {"trials": self.trials_wanted, "finals": self.finals_wanted},
                "trials": [t.user_attrs["run_id"] for t in self.trials],
                "best": winner and winner.user_attrs["run_id"],
                "finals": sorted(self.finals),
                "reason": self.failure if self.done else None,
            },
        )
