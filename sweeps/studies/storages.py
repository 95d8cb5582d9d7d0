"""Opens the storages of studies, and reports their failures in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from benchmarks.records.errors import InputError, SweepStoppedError
from sweeps.studies.journals import open_journal
from sweeps.studies.storage_urls import passwords_in, without_password

_OPTUNAS_FIRST_TABLES = {"studies", "version_info"}
"""The tables that Optuna creates first in an empty database."""


@contextmanager
def open_storage(results: Path, place: str | None = None) -> Iterator[BaseStorage]:
    """Opens the storage of a sweep's studies, and closes its connections at the end.

    Args:
        results: the results folder.
        place: the URL of a database, or the path of a journal file; None: the SQLite database
            `studies.db` in the results folder.

    Yields:
        The storage.

    Raises:
        InputError: if the storage cannot be used, or belongs to another program.
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
        # A URL that is made from text would end at a ? in the path, and decode its % signs.
        url = URL.create("sqlite", database=str(path.absolute())).render_as_string()
        try:
            _require_ours_or_empty(url, str(path))
            return _rdb(url)
        except (DatabaseError, StorageInternalError, RuntimeError) as error:
            if _is_locked(error):
                raise InputError(_held_by_another(str(path))) from None
            raise InputError(
                f"{path} is not a study database of this version, or cannot be written "
                f"({_reason(error)}): repair it, or move it away, and the studies are rebuilt from "
                "the runs' records"
            ) from None
    return _database(place) if "://" in place else open_journal(Path(place))


def _database(url: str) -> BaseStorage:
    named = f"--storage {without_password(url)}"
    try:
        _require_ours_or_empty(url, named)
        # Opens a connection again that the server has closed meanwhile.
        return _rdb(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise InputError(
            f"{named} names no database that can be used ({type(error).__name__}): write it as "
            "postgresql+psycopg://user@host/database, or name a journal file"
        ) from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        reason = _reason(error)
        for password in passwords_in(url):
            reason = reason.replace(password, "…")
        raise InputError(
            f"{named} does not answer, or has no studies of this version ({reason}): repair it, "
            "and give its password in $PGPASSWORD or ~/.pgpass"
        ) from None


def _rdb(url: str, **engine: bool) -> RDBStorage:
    """Opens a database; doubles braces, because Optuna formats the URL as a template."""
    return RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=engine)


def _require_ours_or_empty(url: str, named: str) -> None:
    """Checks that a database is empty or has Optuna's tables; changes nothing.

    Raises:
        InputError: if the database has tables of another program.
    """
    engine = create_engine(url)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    # A crash during the creation of the tables can leave only some of the first two.
    if not (tables <= _OPTUNAS_FIRST_TABLES or tables >= _OPTUNAS_FIRST_TABLES):
        raise InputError(
            f"{named} is another program's database (with a table {min(tables)!r}), and is left "
            "unchanged: name a separate database for the studies"
        )


@contextmanager
def storage_errors(name: str) -> Iterator[None]:
    """Turns failures of a study's storage, such as a full disk, into an error of one sentence.

    Args:
        name: the name of the study.

    Raises:
        SweepStoppedError: if the storage fails.
        InputError: if another program has locked it.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        if _is_locked(error):
            raise InputError(_held_by_another(f"the storage of study {name}")) from None
        raise SweepStoppedError(
            f"the storage of study {name} cannot be read or written ({_reason(error)}): remove the "
            "cause"
        ) from None


def _is_locked(error: BaseException) -> bool:
    """Returns whether SQLite gave up waiting for a lock of another program."""
    return "locked" in _reason(error)


def _held_by_another(named: str) -> str:
    return (
        f"{named} is locked by another program that writes to it, such as optuna-dashboard: end "
        "that program, and repeat the command; finished runs are kept"
    )


def _reason(error: BaseException) -> str:
    """Returns the first line of an error; Optuna's errors have the database's as their cause."""
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", cause)).strip().splitlines()[0]
