"""Reads the records of a cell's runs, and makes trials from them."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import FrozenTrial

from benchmarks.provenance import changes_since
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from sweeps.studies.proposals import Proposal
from sweeps.studies.study_configuration import StudyConfiguration


class CellRecords:
    """Reads records, and notes which were made under other conditions than the current ones.

    Args:
        results: the results folder.
        configuration: how the cell's study searches.
    """

    def __init__(self, results: Path, configuration: StudyConfiguration) -> None:
        self._results, self._configuration = results, configuration
        self.made_otherwise: dict[str, str] = {}
        """By run id, how the conditions (code, libraries, processor) of the run differed."""

    def read(self, run_id: str, *, weights: bool = False) -> RunRecord | None:
        """Reads a record; sets a damaged one aside.

        Args:
            run_id: the id of the run.
            weights: whether the run's weights are checked too. The weights of trials need no
                check: a sweep never reads them, and checking many takes time.

        Returns:
            The record; None if the run has none, or it is damaged.

        Raises:
            InputError: if the file is not a record of this version.
        """
        record = RunFolder(self._results, run_id).read_undamaged(weights=weights)
        if record is not None and (changed := changes_since(record)):
            self.made_otherwise[run_id] = changed
        return record

    def result_of(self, trial: FrozenTrial) -> FrozenTrial | None:
        """Computes the result of a stored trial from the records of its runs.

        Args:
            trial: the stored trial.

        Returns:
            The trial with this result; None if one of its runs has no record.

        Raises:
            InputError: if a file is not a record of this version.
        """
        records = [self.read(run_id) for run_id in trial.user_attrs["run_ids"]]
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            return None
        failed = any(record.status == "failed" for record in known)
        return Proposal(trial.number, trial.params, trial.distributions).finished(
            known,
            cost=self._configuration.cost,
            stopped=len(known) < self._configuration.seeds and not failed,
        )
