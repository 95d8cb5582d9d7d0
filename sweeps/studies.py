"""The stored studies, which `optuna` and `optuna-dashboard` open as they are.

Only finished trials are stored, in the order of their numbers, by the driver alone: a study is a
view of the records, and no crash leaves a trial running for ever.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from pydantic import JsonValue
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from benchmarks.errors import InputError
from benchmarks.spec import Direction
from sweeps.options import without_password


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
        try:
            return RDBStorage(f"sqlite:///{path}")
        except (DatabaseError, RuntimeError) as error:
            raise InputError(
                f"{path} is not a study database of this version ({type(error).__name__}): move it "
                "away, and it is made anew from the runs' records"
            ) from None
    return _database(place) if "://" in place else _journal(Path(place))


def _database(url: str) -> BaseStorage:
    named = f"--storage {without_password(url)}"
    try:
        # A connection that the server has closed meanwhile is made again.
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise InputError(
            f"{named} names no database that can be used here ({type(error).__name__}): write it "
            "as postgresql+psycopg://user@host/database, or name a journal file"
        ) from None
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise InputError(
            f"{named} does not answer, or holds no studies of this version ({reason}): mend that, "
            "and give its password in $PGPASSWORD or ~/.pgpass"
        ) from None


def _journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError) as error:
        raise InputError(
            f"--storage {path} is no journal of Optuna's ({type(error).__name__}): name another "
            "file, and it is made from the runs' records"
        ) from None


def _mend(path: Path) -> None:
    """Cuts off the last line of a journal if it is torn, as a killed writer leaves it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        last = content.rfind(b"\n", 0, max(0, end - 1)) + 1
        try:
            json.loads(content[last:end] or b"null")
        except ValueError:
            end = last
        if end == len(content):
            return
        if end == 0:
            raise ValueError("no line is whole")
        file.truncate(end)
        os.fsync(file.fileno())
    print(
        f"capsbench: the last line of {path} was torn, {len(content) - end} bytes, and is cut off: "
        "its trial is taken again from its records",
        file=sys.stderr,
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
        self._study = optuna.create_study(
            storage=storage, study_name=name, directions=directions, load_if_exists=True
        )
        kept = self._study.user_attrs.get("identity")
        if kept is None:
            self._study.set_user_attr("identity", json.dumps(identity, sort_keys=True))
        else:
            _compare(name, json.loads(kept), identity)
        self.trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)

    def append(self, trial: FrozenTrial) -> None:
        """Adds the next finished trial."""
        trial.datetime_complete = datetime.now()
        trial.datetime_start = trial.datetime_complete - timedelta(
            seconds=trial.user_attrs["seconds"]
        )
        try:
            self._study.add_trial(trial)
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            raise InputError(
                f"the storage of study {self._study.study_name} cannot be written "
                f"({type(error).__name__}): mend that, then go on with `python -m sweeps resume`"
            ) from None
        self.trials.append(trial)


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
