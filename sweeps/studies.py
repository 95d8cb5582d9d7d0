"""The stored studies, which `optuna` and `optuna-dashboard` open as they are.

Only finished trials are stored, in the order of their numbers, by the driver alone: a study is a
view of the records, and no crash leaves a trial running for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial
from pydantic import JsonValue
from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from benchmarks.records.errors import InputError
from benchmarks.records.spec import Direction
from sweeps.journals import IDENTITY, open_journal
from sweeps.options import passwords_in, without_password

_OPTUNAS_FIRST_TABLES = {"studies", "version_info"}


@contextmanager
def storage(results: Path, place: str | None = None) -> Iterator[BaseStorage]:
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
    """One study; `identity` is what must not change while it grows."""

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        *,
        directions: list[Direction],
        identity: dict[str, JsonValue],
    ) -> None:
        with _answering(name):
            self._study = optuna.create_study(
                storage=storage, study_name=name, directions=directions, load_if_exists=True
            )
            kept = self._study.user_attrs.get(IDENTITY)
            if kept is None:
                self._study.set_user_attr(IDENTITY, json.dumps(identity, sort_keys=True))
            else:
                _compare(name, json.loads(kept), identity)
            self.trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)
            self._kept = len(self.trials)
        for trial in self.trials:
            if "run_ids" not in trial.user_attrs:
                raise InputError(
                    f"study {name} holds trial {trial.number}, which no sweep made: choose another "
                    "--storage, and the study is made anew from the runs' records"
                )

    def append(self, trial: FrozenTrial) -> None:
        """Adds the next finished trial, which `store` then writes."""
        trial.datetime_complete = datetime.now()
        trial.datetime_start = trial.datetime_complete - timedelta(
            seconds=trial.user_attrs["seconds"]
        )
        self.trials.append(trial)

    def store(self) -> None:
        """Writes the trials that were added. Raises InputError where they cannot be kept."""
        name = self._study.study_name
        while self._kept < len(self.trials):
            with _answering(name):
                if len(self._study.get_trials(deepcopy=False)) != self._kept:
                    raise InputError(
                        f"study {name} is written by another driver too: give each results folder "
                        "a --storage of its own; studies are made anew there from the runs' records"
                    )
                self._study.add_trial(self.trials[self._kept])
            self._kept += 1


@contextmanager
def _answering(name: str) -> Iterator[None]:
    """Raises InputError where a study's storage fails, as on a full disk."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise InputError(
            f"the storage of study {name} cannot be read or written ({_reason(error)}): mend that, "
            "then go on with `python -m sweeps resume`"
        ) from None


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
            f"study {name} was begun with other {told}: go on as it was begun, or choose another "
            "--results folder"
        )


def _short(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."
