"""The stored studies, which `optuna` and `optuna-dashboard` open as they are.

Only finished trials are stored, in the order of their numbers, by the driver alone: a study is a
view of the records, and no crash leaves a trial running for ever.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import JsonValue
from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from benchmarks.records.errors import InputError
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import Direction
from sweeps import rewriting
from sweeps.journals import IDENTITY, open_journal
from sweeps.storage_urls import passwords_in, without_password
from sweeps.stored_trials import (
    FIXED,
    Enqueued,
    is_enqueued,
    is_ours,
    numbered,
    same_result,
    was_enqueued,
)

_OPTUNAS_FIRST_TABLES = {"studies", "version_info"}


@contextmanager
def open_storage(results: Path, place: str | None = None) -> Iterator[BaseStorage]:
    """SQLite in a results folder, or what `place` names: a database's URL, or a journal file.

    Its connections end with it. Raises InputError.
    """
    opened = _open(results, place)
    try:
        yield opened
    finally:
        if isinstance(opened, RDBStorage):
            opened.remove_session()
            opened.engine.dispose()


def _open(results: Path, place: str | None) -> BaseStorage:
    if place is None:
        path = results / "studies.db"
        # Of the path as it is: a URL of its text would end at a ?, and be decoded.
        url = URL.create("sqlite", database=str(path.absolute())).render_as_string()
        try:
            _require_ours_or_empty(url, str(path))
            return _rdb(url)
        except (DatabaseError, StorageInternalError, RuntimeError) as error:
            if _is_locked(error):
                raise InputError(_held_by_another(str(path))) from None
            raise InputError(
                f"{path} is not a study database of this version, or cannot be written "
                f"({_reason(error)}): mend that, or move it away, and it is made anew from the "
                "runs' records"
            ) from None
    return _database(place) if "://" in place else open_journal(Path(place))


def _database(url: str) -> BaseStorage:
    named = f"--storage {without_password(url)}"
    try:
        _require_ours_or_empty(url, named)
        # A connection that the server has closed meanwhile is made again.
        return _rdb(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise InputError(
            f"{named} names no database that can be used here ({type(error).__name__}): write it "
            "as postgresql+psycopg://user@host/database, or name a journal file"
        ) from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        reason = _reason(error)
        for password in passwords_in(url):
            reason = reason.replace(password, "…")
        raise InputError(
            f"{named} does not answer, or holds no studies of this version ({reason}): "
            "mend that, and give its password in $PGPASSWORD or ~/.pgpass"
        ) from None


def _rdb(url: str, **engine: bool) -> RDBStorage:
    """Opens a database; Optuna takes a URL for a template, in which braces name fields."""
    return RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=engine)


def _require_ours_or_empty(url: str, named: str) -> None:
    """Raises InputError, and changes nothing, if a database holds another program's tables."""
    engine = create_engine(url)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    # In part, where a crash interrupted their creation; these two are the first.
    if not (tables <= _OPTUNAS_FIRST_TABLES or tables >= _OPTUNAS_FIRST_TABLES):
        raise InputError(
            f"{named} is another program's database (with a table {min(tables)!r}), and was left "
            "as it is: name a database of its own for the studies"
        )


class StoredStudy:
    """Holds one study, which is a view of the records of its runs.

    A user may add trials to it: a point that waits is for the sweep to try, and any other trial is
    kept, printed once, and left out of `trials`. So a trial's number in the sweep may differ from
    its number in the storage: then the attribute `number` holds the former.

    Args:
        storage: has the study, or gets it.
        name: the name of the study.
        directions: which way each objective is better.
        identity: what must not change while the study grows.
        lag: how many trials after a trial are proposed without its result.

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
        with _answering(name):
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
        """The trials that were in the storage when it was opened."""
        self._database = [*self._earlier]
        """The trials that are in the storage."""
        self.trials: list[FrozenTrial] = []
        """The trials that the records confirm, in the order of their numbers."""
        self._noted = set(attributes)
        """Names of the study's attributes."""
        self._kept = 0
        """So many of `trials` are in the storage."""
        self._valid: float = math.inf
        """Trials from this number on were proposed from results that the records deny."""
        self._places: dict[int, int] = {}
        """By number, where the trials of enqueued points are stored."""
        self._given: list[Enqueued] = []
        """The enqueued points that were returned."""
        self._known: set[int] = set()
        """Enqueued and foreign trials that were returned or printed before."""

    @property
    def count(self) -> int:
        """Counts the trials in the storage."""
        return len(self._database)

    @property
    def agrees(self) -> bool:
        """Returns whether the records have denied no stored trial so far."""
        return math.isinf(self._valid)

    def unconfirmed(self) -> list[FrozenTrial]:
        """Returns the stored trials that are not among `trials`, in the order of their numbers."""
        return self._earlier[len(self.trials) :]

    def confirm(self) -> None:
        """Takes the next stored trial into `trials`: the records say the same."""
        self.trials.append(self._earlier[len(self.trials)])
        self._kept = len(self.trials)

    def earlier(self, number: int) -> FrozenTrial | None:
        """Returns a stored trial that was proposed from results that the records do not deny.

        Args:
            number: the number of the trial.

        Returns:
            The trial; None if the storage has none, or one that was proposed from other results.
        """
        return self._earlier[number] if number < min(len(self._earlier), self._valid) else None

    def enqueued(self) -> list[Enqueued]:
        """Returns the points that were enqueued since the last call; prints what else is new."""
        with _answering(self._name):
            stored = self._study.get_trials(deepcopy=False)
        new = [t for t in stored if not is_ours(t) and t.number not in self._known]
        self._known |= {trial.number for trial in new}
        if foreign := [str(trial.number) for trial in new if not is_enqueued(trial)]:
            print(
                f"capsbench: study {self._name} holds trials that no sweep made "
                f"({', '.join(foreign)}): they are kept, and no proposal is made from them",
                file=sys.stderr,
            )
        points = [Enqueued(t.number, t.system_attrs[FIXED]) for t in new if is_enqueued(t)]
        self._given += points
        return points

    def append(self, trial: FrozenTrial, place: int | None = None) -> None:
        """Adds the next finished trial, which `store` then writes.

        Args:
            trial: the trial.
            place: of an enqueued point, where its trial is stored.
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
                f"capsbench: the records say otherwise than study {self._name} of trial {number}: "
                "the study is rewritten"
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
            with _answering(self._name):
                self._write(trial)
            self._database.append(trial)
            self._kept += 1

    def note_final(self, record: RunRecord) -> None:
        """Writes a final's test scores beside the study, for tools such as optuna-dashboard.

        The attribute's name is the path of the run's folder. Nothing here reads it.

        Args:
            record: the record of the final.

        Raises:
            InputError: if it cannot be written.
        """
        name = f"final runs/{record.run_id}"
        if name not in self._noted:
            scores = {key: value for key, value in record.metrics.items() if key[:5] == "test/"}
            with _answering(self._name):
                self._study.set_user_attr(name, scores or {"status": record.status})
            self._noted.add(name)

    def _write(self, trial: FrozenTrial) -> None:
        stored = self._study.get_trials(deepcopy=False)
        if sum(map(is_ours, stored)) != len(self._database):
            raise InputError(
                f"study {self._name} is written by another driver too: give each results folder "
                "a --storage of its own; studies are rebuilt there from the runs' records"
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

        Points that users enqueued and that one of these trials tried wait again.

        Args:
            count: the number of the first trial that is left out.
        """
        moved: dict[int, int] = {}
        kept: list[FrozenTrial] = []
        with _answering(self._name):
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
        """Writes the result of an enqueued point; its state last, so that a crash leaves it open.

        Optuna's `ask` and `tell` would let a crash leave it running, without its parameters.
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
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)  # which notes the time
        storage.set_trial_state_values(trial_id, trial.state, trial.values)


@contextmanager
def _answering(name: str) -> Iterator[None]:
    """Raises InputError where a study's storage fails, as on a full disk."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        if _is_locked(error):
            raise InputError(_held_by_another(f"the storage of study {name}")) from None
        raise InputError(
            f"the storage of study {name} cannot be read or written ({_reason(error)}): mend that, "
            "then go on with `capsbench resume`"
        ) from None


def _is_locked(error: BaseException) -> bool:
    """Whether SQLite waited for another program in vain."""
    return "locked" in _reason(error)


def _held_by_another(named: str) -> str:
    return (
        f"{named} is locked by another program that writes to it, such as optuna-dashboard: end "
        "that program, and call this again; what was done is kept"
    )


def _reason(error: BaseException) -> str:
    """One line; Optuna's errors have the database's as their cause."""
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", cause)).strip().splitlines()[0]


def _compare(name: str, kept: dict[str, JsonValue], now: dict[str, JsonValue]) -> None:
    changed = sorted(key for key in kept.keys() | now.keys() if kept.get(key) != now.get(key))
    if changed:
        told = ", ".join(
            f"{key} (was {_short(kept.get(key))}, now {_short(now.get(key))})" for key in changed
        )
        raise InputError(
            f"study {name} was begun with other {told}: go on as it was begun"
            + (" (--data names the folder of the data)" if "data" in changed else "")
            + ", or choose another --results folder"
        )


def _short(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."
