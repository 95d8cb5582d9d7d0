"""Stores studies in a form that `optuna` and `optuna-dashboard` can open.

Only the driver writes a study, and only finished trials, in the order of their numbers. A study is
therefore a view of the records, and no crash leaves a trial in the state "running".
"""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime, timedelta

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import JsonValue

from benchmarks.records.errors import InputError
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Direction
from sweeps.studies import rewriting
from sweeps.studies.journals import IDENTITY
from sweeps.studies.storages import storage_errors
from sweeps.studies.stored_trials import (
    FIXED,
    EnqueuedPoint,
    is_enqueued,
    is_ours,
    numbered,
    same_result,
    was_enqueued,
)


class StoredStudy:
    """Stores one study as a view of the records of its runs.

    Users may add trials to the study. An enqueued point is tried by the sweep. Any other trial is
    kept, reported once, and left out of `trials`. The number of a trial in the sweep may therefore
    differ from its number in the storage; then the attribute `number` has the number in the sweep.

    Args:
        storage: the storage; the study is created if the storage does not have it.
        name: the name of the study.
        directions: which way each objective is better.
        identity: everything that must stay equal while the study grows.
        lag: trial n is proposed from the results of trials 0 … n - lag.

    Raises:
        InputError: if the study has another identity, or the storage fails.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        *,
        directions: list[Direction],
        identity: dict[str, JsonValue],
        lag: int,
    ) -> None:
        self._storage, self._name, self._lag = storage, name, lag
        with storage_errors(name):
            rewriting.complete_rewriting(storage, name)
            self._study = optuna.create_study(
                storage=storage, study_name=name, directions=directions, load_if_exists=True
            )
            attributes = self._study.user_attrs
            kept = attributes.get(IDENTITY)
            if kept is None:
                self._study.set_user_attr(IDENTITY, json.dumps(identity, sort_keys=True))
            else:
                _compare(name, json.loads(kept), identity)
            stored = self._study.get_trials(deepcopy=False)
        ours = map(numbered, filter(is_ours, stored))
        self._earlier = sorted(ours, key=lambda t: t.number)
        """The trials of the sweep that the storage had when it was opened."""
        self._database = [*self._earlier]
        """The trials of the sweep that the storage has now."""
        self.trials: list[FrozenTrial] = []
        """The trials that agree with the records, in the order of their numbers."""
        self._noted = set(attributes)
        """The names of the study's attributes."""
        self._kept = 0
        """The number of trials in `trials` that the storage has, too."""
        self._valid: float = math.inf
        """The number of the first trial that was proposed from results other than the records'."""
        self._places: dict[int, int] = {}
        """By number in the sweep, the number in the storage of each enqueued point's trial."""
        self._given: list[EnqueuedPoint] = []
        """The enqueued points that `enqueued` has returned."""
        self._known: set[int] = set()
        """The numbers in the storage of users' trials that were returned or reported before."""

    @property
    def count(self) -> int:
        """Counts the trials of the sweep in the storage."""
        return len(self._database)

    @property
    def agrees(self) -> bool:
        """Returns whether all stored trials that were compared agree with the records."""
        return math.isinf(self._valid)

    def unconfirmed(self) -> list[FrozenTrial]:
        """Returns the stored trials that are not yet in `trials`, in the order of their numbers."""
        return self._earlier[len(self.trials) :]

    def confirm(self) -> None:
        """Moves the next stored trial to `trials`, after the caller has compared the records."""
        self.trials.append(self._earlier[len(self.trials)])
        self._kept = len(self.trials)

    def earlier(self, number: int) -> FrozenTrial | None:
        """Returns a stored trial, if it was proposed from results that agree with the records.

        Args:
            number: the number of the trial in the sweep.

        Returns:
            The trial; None if the storage has no such trial, or it was proposed from other results.
        """
        return self._earlier[number] if number < min(len(self._earlier), self._valid) else None

    def enqueued(self) -> list[EnqueuedPoint]:
        """Returns the points that were enqueued since the last call.

        Prints the numbers of new trials that neither a sweep nor `enqueue_trial` added.

        Raises:
            InputError: if the storage cannot be read.
        """
        with storage_errors(self._name):
            stored = self._study.get_trials(deepcopy=False)
        new = [t for t in stored if not is_ours(t) and t.number not in self._known]
        self._known |= {trial.number for trial in new}
        if foreign := [str(trial.number) for trial in new if not is_enqueued(trial)]:
            print(
                f"capsbench: study {self._name} has trials that no sweep made "
                f"({', '.join(foreign)}): they are kept, but proposals do not use them",
                file=sys.stderr,
            )
        points = [EnqueuedPoint(t.number, t.system_attrs[FIXED]) for t in new if is_enqueued(t)]
        self._given += points
        return points

    def append(self, trial: FrozenTrial, place: int | None = None) -> None:
        """Adds the next finished trial to `trials`; `store` writes it later.

        A message on stderr says so if its result differs from the stored one.

        Args:
            trial: the trial.
            place: the number in the storage of the trial, if it tries an enqueued point.
        """
        number = len(self.trials)
        if place is not None:
            self._places[number] = place
        trial.datetime_complete = datetime.now()
        trial.datetime_start = trial.datetime_complete - timedelta(
            seconds=trial.user_attrs["seconds"]
        )
        self.trials.append(trial)
        earlier = self.earlier(number)
        if earlier is not None and not same_result(earlier, trial):
            self._valid = min(self._valid, number + self._lag)
            again = len(self._earlier) - number - self._lag
            print(
                f"capsbench: the records of trial {number} differ from study {self._name}: the "
                "study is rewritten"
                + (f", and its last {again} trials are proposed again" if again > 0 else ""),
                file=sys.stderr,
            )

    def store(self) -> None:
        """Writes the trials that were added.

        Raises:
            InputError: if they cannot be written, or another driver writes the study.
        """
        while self._kept < len(self.trials):
            trial = self.trials[self._kept]
            if self._kept < len(self._database):
                if same_result(self._database[self._kept], trial):
                    self._kept += 1
                    continue
                self._cut(self._kept)
            with storage_errors(self._name):
                self._write(trial)
            self._database.append(trial)
            self._kept += 1

    def note_final(self, record: RunRecord) -> None:
        """Writes the test scores of a final to the study, for tools such as optuna-dashboard.

        The scores become the study's attribute `final runs/<run id>`; sweeps do not read it.

        Args:
            record: the record of the final.

        Raises:
            InputError: if the attribute cannot be written.
        """
        name = f"final runs/{record.run_id}"
        if name not in self._noted:
            scores = {key: value for key, value in record.metrics.items() if key[:5] == "test/"}
            with storage_errors(self._name):
                self._study.set_user_attr(name, scores or {"status": record.status})
            self._noted.add(name)

    def _write(self, trial: FrozenTrial) -> None:
        stored = self._study.get_trials(deepcopy=False)
        if sum(map(is_ours, stored)) != len(self._database):
            raise InputError(
                f"study {self._name} is also written by another sweep: give each results folder a "
                "--storage of its own; the studies are rebuilt there from the runs' records"
            )
        if len(stored) != self._kept:
            trial.set_user_attr("number", self._kept)
        place = self._places.get(self._kept)
        if place is None:
            self._study.add_trial(trial)
        else:
            self._finish(place, trial)

    def _cut(self, count: int) -> None:
        """Rewrites the study without its trials from a number on.

        Enqueued points that these trials tried become waiting trials again.

        Args:
            count: the number of the first trial that is left out.
        """
        moved: dict[int, int] = {}
        kept: list[FrozenTrial] = []
        with storage_errors(self._name):
            for trial in self._study.get_trials():
                number = numbered(trial).number
                if is_ours(trial) and number >= count:
                    if not was_enqueued(trial):
                        continue
                    if number < self._valid:
                        self._places[number] = len(kept)
                        self._known.add(trial.number)
                    fixed = {FIXED: trial.system_attrs[FIXED]}
                    kept.append(create_trial(state=TrialState.WAITING, system_attrs=fixed))
                else:
                    if is_ours(trial):
                        trial.user_attrs["number"] = number
                    kept.append(trial)
                moved[trial.number] = len(kept) - 1
            self._study = rewriting.rewrite_study(self._storage, self._study, kept)
        self._known = {moved[place] for place in self._known if place in moved}
        for point in self._given:
            point.place = moved.get(point.place, point.place)
        del self._database[count:]

    def _finish(self, place: int, trial: FrozenTrial) -> None:
        """Writes the result of an enqueued point; its state last, so that a crash loses nothing.

        With Optuna's `ask` and `tell`, a crash could leave a running trial without parameters.
        """
        storage = self._storage
        study = storage.get_study_id_from_name(self._name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study, place)
        for name, distribution in trial.distributions.items():
            value = distribution.to_internal_repr(trial.params[name])
            storage.set_trial_param(trial_id, name, value, distribution)
        for step, score in trial.intermediate_values.items():
            storage.set_trial_intermediate_value(trial_id, step, score)
        for name, attribute in trial.user_attrs.items():
            storage.set_trial_user_attr(trial_id, name, attribute)
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)  # stores the start time
        storage.set_trial_state_values(trial_id, trial.state, trial.values)


def _compare(name: str, kept: dict[str, JsonValue], now: dict[str, JsonValue]) -> None:
    changed = sorted(key for key in kept.keys() | now.keys() if kept.get(key) != now.get(key))
    if changed:
        differences = ", ".join(
            f"{key} (was {_short(kept.get(key))}, now {_short(now.get(key))})" for key in changed
        )
        raise InputError(
            f"study {name} was begun with other {differences}: go on as it was begun"
            + (" (--data names the folder of the data)" if "data" in changed else "")
            + ", or choose another --results folder"
        )


def _short(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."
