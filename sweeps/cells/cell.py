"""Decides what remains to do in one cell of a sweep: its study's trials, then its finals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from benchmarks.records.errors import InputError, printable
from benchmarks.records.folders import ResultsFolder
from benchmarks.records.ledger import CellLedger, Planned
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Role, RunSpec
from sweeps.cells.cell_ledger import ledger_of
from sweeps.cells.cell_records import CellRecords
from sweeps.cells.cell_specs import CellSpecs
from sweeps.cells.cell_trials import CellTrials, FinalParameters, State
from sweeps.engines import Job
from sweeps.studies.importance import compute_importance
from sweeps.studies.study_store import StoredStudy

NOTHING = Planned()


class Cell:
    """Decides from the records alone what remains to do in a cell.

    `next_job()` returns the next job that the known results allow; `take_record()` takes the
    record of that job.

    Args:
        specs: makes the specs of the cell's runs.
        planned: how many trials and finals the cell shall have. A plan in the ledger grows to
            these numbers, and never shrinks.
        results: the results folder.
        storage: the storage of the studies.
        more: how many trials and finals are added to the plan.

    Raises:
        InputError: if the cell was started with other data or other options.
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
        self.specs, self.study = specs, specs.study
        self.variant, self.dataset = specs.variant, specs.dataset
        self._results = results
        self._records = CellRecords(results, specs.configuration)
        self._old = self._read_ledger()
        self._require_data()
        self._stored = StoredStudy(
            storage,
            self.study,
            directions=specs.objectives,
            identity=specs.identity(),
            lag=specs.profile.lag,
        )
        before = self._old.planned if self._old else Planned()
        self._retries = self._old.retries if self._old else 0
        self.finals_wanted = max(planned.finals, before.finals) + more.finals
        self._waiting: list[Job] = []
        """Jobs that wait for the run of their base."""
        self._requested_finals: set[str] = set()
        self.finals: dict[str, RunRecord] = {}
        """By run id, the finals that have ended."""
        self.bases: dict[str, RunRecord | None] = {}
        """By run id, the bases that were requested; None before they have ended."""
        trials = max(planned.trials, before.trials, self._stored.count) + more.trials
        self._trials = CellTrials(specs, self._records, self._stored, trials)
        self._trials.take_enqueued()
        self._recover_finals()
        self._changed = False
        self.held: str | None = None
        """Why the cell is left out of this sweep: another process makes one of its runs."""

    def _read_ledger(self) -> CellLedger | None:
        """Reads the ledger, which alone has the plan and the retries so far."""
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

    def _recover_finals(self) -> None:
        """Takes the bases and finals that have records."""
        for base in self._bases_wanted:
            self._has_ended(base)
        for spec in self._final_specs():
            record = self._records.read(spec.run_id, weights=True)
            if record is not None:
                self._requested_finals.add(spec.run_id)
                self.finals[spec.run_id] = record

    @property
    def _ledger(self) -> Path:
        return ResultsFolder(self._results).ledger(self.study)

    @property
    def trials(self) -> list[FrozenTrial]:
        """Returns the trials that the study has, in the order of their numbers, without a gap."""
        return self._trials.finished

    @property
    def trials_wanted(self) -> int:
        """Returns how many trials the cell shall have."""
        return self._trials.wanted

    @property
    def best(self) -> FinalParameters | None:
        """Chooses what finals repeat: see `CellTrials.best`."""
        return self._trials.best

    @property
    def made_otherwise(self) -> Mapping[str, str]:
        """Returns, by run id, how the code, the libraries or the processor of a run differed
        from the current ones.
        """
        return self._records.made_otherwise

    @property
    def plan(self) -> Planned:
        """Returns how many trials and finals the cell shall have."""
        return Planned(trials=self.trials_wanted, finals=self.finals_wanted)

    @property
    def left(self) -> int:
        """Counts the runs that remain; an upper bound."""
        return sum(self.left_by_role.values())

    @property
    def left_by_role(self) -> dict[Role, int]:
        """Counts the runs that remain by role, in the order in which they are made."""
        if self.done:
            return {}
        ended = sum(record is not None for record in self.bases.values())
        trials = self.trials_wanted * self.specs.configuration.seeds
        left: dict[Role, int] = {
            "base": len(self._bases_wanted) - ended,
            "trial": trials - self._trials.finished_runs,
            "final": self.finals_wanted - len(self.finals),
        }
        return {role: max(0, runs) for role, runs in left.items()}

    @property
    def planned(self) -> int:
        """Counts all runs of the cell: of trials, finals and bases."""
        trials = self.trials_wanted * self.specs.configuration.seeds
        return trials + self.finals_wanted + len(self._bases_wanted)

    @property
    def done(self) -> bool:
        """Returns whether nothing remains to do."""
        if not self._trials.all_finished:
            return False
        return self.best is None or len(self.finals) == self.finals_wanted

    @property
    def failure(self) -> str | None:
        """Says why a cell that is done has no complete final; None if it has one."""
        if self.best is None:
            reasons = [t.user_attrs["reason"] for t in self.trials if t.user_attrs["reason"]]
            return "no trial completed" + (f"; the first: {reasons[0]}" if reasons else "")
        if not any(record.status == "complete" for record in self.finals.values()):
            reasons = [r.reason for r in self.finals.values() if r.reason]
            return "no final completed" + (f"; the first: {reasons[0]}" if reasons else "")
        return None

    def next_job(self) -> Job | None:
        """Returns the next job.

        A job whose record exists already is taken as done. A job whose base has not ended waits,
        and the job of the base is returned first.

        Returns:
            The job; None if results are awaited, or nothing remains to do.

        Raises:
            InputError: if a record is of another version.
        """
        while (job := self._released_job() or self._new_job()) is not None:
            base = job.spec.base
            final = job.spec.role == "final"
            if (record := self._records.read(job.spec.run_id, weights=final)) is not None:
                self.take_record(record)
            elif base is None or self._has_ended(base):
                self._trials.mark(job.spec.run_id, State.running)
                return job
            else:
                self._waiting.append(job)
                self._trials.mark(job.spec.run_id, State.waiting)
                if base.run_id not in self.bases:
                    self.bases[base.run_id] = None
                    return Job(base, self.study)
        return None

    def _released_job(self) -> Job | None:
        """Returns a job that waited for its base, which has ended."""
        for job in self._waiting:
            if job.spec.base is not None and self._has_ended(job.spec.base):
                self._waiting.remove(job)
                return job
        return None

    def _has_ended(self, base: RunSpec) -> bool:
        """Returns whether a base has a record, and keeps the record in `bases`."""
        if self.bases.get(base.run_id) is None:
            record = self._records.read(base.run_id, weights=True)
            if record is None:
                return False
            self.bases[base.run_id] = record
        return True

    def _new_job(self) -> Job | None:
        """Returns a job that was not requested before."""
        return self._trials.next_job() or self._final_job() or self._base_job()

    def _final_job(self) -> Job | None:
        """Returns the job of a final that was not requested before."""
        for spec in self._final_specs():
            if spec.run_id not in self._requested_finals:
                self._requested_finals.add(spec.run_id)
                return Job(spec, self.study)
        return None

    def _base_job(self) -> Job | None:
        """Returns the job of a base that the ledger names and whose record was set aside."""
        named = self._old.bases if self._old else []
        for base in self._bases_wanted:
            gone = base.run_id in named and base.run_id not in self.bases
            if gone and not self._has_ended(base):
                self.bases[base.run_id] = None
                return Job(base, self.study)
        return None

    def _final_specs(self) -> list[RunSpec]:
        """Makes the specs of the finals; none before the best trial is known."""
        chosen = self.best
        if chosen is None:
            return []
        return [self.specs.final(n, chosen.params) for n in range(self.finals_wanted)]

    @cached_property
    def _importance(self) -> dict[str, float]:
        """Computes the importance of each searched hyper-parameter, once all trials are stored."""
        return compute_importance(self.trials, self.specs.direction)

    @cached_property
    def _bases_wanted(self) -> list[RunSpec]:
        return self.specs.bases(self.trials_wanted, self.finals_wanted)

    def take_record(self, record: RunRecord) -> None:
        """Takes the record of a job that `next_job` returned. Nothing is written before `store`.

        Args:
            record: the record.
        """
        if record.role == "base":
            self.bases[record.run_id] = record
        elif record.role == "final":
            self.finals[record.run_id] = record
        self._trials.take_record(record)
        self._changed = True

    def store(self) -> None:
        """Writes the study and the ledger, if a record was taken since the last call.

        `take_record` does not write, so that no worker waits for it. What a crash loses, a resumed
        sweep restores from the records.

        Raises:
            InputError: if the study cannot be written.
        """
        if self._changed:
            self._stored.store()
            self._take_enqueued()
            self.write_ledger()
            self._changed = False

    def _take_enqueued(self) -> None:
        """Takes the points that users enqueued meanwhile, which may need more trials."""
        before = self.trials_wanted
        self._trials.take_enqueued()
        if self.trials_wanted > before:
            for outdated in ("_bases_wanted", "_importance"):
                self.__dict__.pop(outdated, None)

    def count_retry(self) -> None:
        """Counts a run that is retried because its worker died, and writes the ledger."""
        self._retries += 1
        self.write_ledger()

    def write_ledger(self) -> None:
        """Writes the ledger of the cell, from which reports know which finals count.

        While stored trials are only confirmed or repeated, the ledger keeps its trials and finals,
        and only plan, retries and the number of remaining runs change.

        Raises:
            InputError: if the study cannot be written.
            OSError: if the ledger cannot be written.
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
