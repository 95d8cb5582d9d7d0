"""Tests that all storages keep equal studies: SQLite, a journal, and a real PostgreSQL server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import JsonValue
from sqlalchemy import event

from benchmarks.records.errors import InputError
from sweeps import options
from sweeps.stored_options import load_options, save_options
from sweeps.studies import storages, stored_trials
from sweeps.studies.study_store import StoredStudy


def _program(name: str) -> str | None:
    """Finds a program of PostgreSQL, which Debian stores outside the search path."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(places[-1]) if places else None)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Starts a temporary server on a loopback port, and yields its URL."""
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no PostgreSQL: install Debian's package postgresql")
        pytest.skip("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="postgresql-"))
    how: dict[str, Any] = {"cwd": home, "stdout": subprocess.DEVNULL}
    if os.getuid() == 0:  # which PostgreSQL refuses to be
        shutil.chown(home, "nobody", "nogroup")
        how |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
    data = home / "data"
    subprocess.run([initdb, "-D", data, "-U", "bench", "-A", "trust", "-N"], check=True, **how)
    running = subprocess.Popen(
        [server, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", home, "-F"],
        stderr=subprocess.DEVNULL,
        **how,
    )
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"postgresql+psycopg://bench@127.0.0.1:{port}/postgres"
    finally:
        running.kill()
        running.wait()
        shutil.rmtree(home)


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Returns the value of `--storage`."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql")
    return None if request.param == "sqlite" else str(tmp_path / "journal" / "studies.log")


@contextmanager
def opened(
    results: Path, place: str | None, name: str, **identity: JsonValue
) -> Iterator[StoredStudy]:
    with storages.open_storage(results, place) as storage:
        study = StoredStudy(storage, name, directions=["maximize"], identity=identity, lag=2)
        for _ in study.unconfirmed():
            study.confirm()
        yield study


def trial(number: int) -> FrozenTrial:
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    state = states[number % 3]
    return create_trial(
        state=state,
        value=None if state == TrialState.FAIL else 0.1 * number,
        params={"lr": 0.5, "name": "a"},
        distributions={
            "lr": optuna.distributions.FloatDistribution(0.1, 1.0),
            "name": optuna.distributions.CategoricalDistribution(("a", "b")),
        },
        intermediate_values={1: 0.1, 2: 0.2},
        user_attrs={"run_ids": [f"run-{number}"], "seconds": 1.5, "reason": None},
    )


def seen(study: StoredStudy) -> list[tuple[object, ...]]:
    return [
        (t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs)
        for t in study.trials
    ]


def shown(place: str, study: str) -> list[tuple[object, ...]]:
    """Returns what Optuna's own command prints about a study."""
    program = Path(sys.executable).with_name("optuna")
    done = subprocess.run(
        [program, "trials", "--storage", place, "--study-name", study, "--format", "json"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    return [(t["number"], t["state"], t["params"]) for t in json.loads(done.stdout)]


def append(study: StoredStudy, *numbers: int) -> None:
    for number in numbers:
        study.append(trial(number))
        study.store()


def test_a_study_is_kept(place: str | None, tmp_path: Path) -> None:
    with opened(tmp_path, place, "kept", data="a") as study:
        append(study, *range(6))
    with opened(tmp_path, place, "kept", data="a") as again:
        # Appended trials keep their places, and trials that are read have their numbers.
        assert [t.number for t in again.trials] == list(range(6))
        assert [s[1:] for s in seen(again)] == [s[1:] for s in seen(study)]
        assert shown(place or f"sqlite:///{tmp_path / 'studies.db'}", "kept") == [
            (t.number, t.state.name, t.params) for t in again.trials
        ]
    with (
        pytest.raises(InputError, match="begun with other data"),
        opened(tmp_path, place, "kept", data="b"),
    ):
        pass


def test_a_study_is_rewritten_from_the_first_trial_that_records_deny(
    place: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path, place, "one") as study:
        append(study, *range(6))
    denied = trial(2)  # it had failed
    denied.state, denied.values = TrialState.COMPLETE, [0.7]
    with storages.open_storage(tmp_path, place) as storage:
        study = StoredStudy(storage, "one", directions=["maximize"], identity={}, lag=2)
        for _ in range(2):
            study.confirm()
        assert study.agrees
        study.append(denied)
        assert not study.agrees
        assert [study.earlier(number) is None for number in (3, 4, 5)] == [False, True, True]
        study.store()
        append(study, 3)
    sentence = "the study is rewritten, and its last 2 trials are proposed again"
    assert sentence in capsys.readouterr().err
    with opened(tmp_path, place, "one") as study:
        assert [t.state.name for t in study.trials] == [
            "COMPLETE",
            "PRUNED",
            "COMPLETE",
            "COMPLETE",
        ]
        assert [t.number for t in study.trials] == [0, 1, 2, 3]
        assert study.trials[2].values == [0.7]


def test_a_second_writer_is_one_sentence(place: str | None, tmp_path: Path) -> None:
    """Two drivers have different results folders and the same storage."""
    with opened(tmp_path, place, "shared") as study, opened(tmp_path, place, "shared") as other:
        append(other, 0)
        with pytest.raises(InputError, match="study shared is also written by another sweep"):
            append(study, 0)
    with opened(tmp_path, place, "shared") as again:
        assert len(again.trials) == 1


@pytest.mark.parametrize("torn", ['{"op_code": 4, "wor', '{"op_code": 4, "wor\n', "\0\0\0"])
def test_a_torn_journal_is_mended_and_said(
    torn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "studies.log"
    with opened(tmp_path, str(path), "torn") as study:
        append(study, 0)
    whole = path.read_bytes()
    assert capsys.readouterr().err == ""
    path.write_bytes(whole + torn.encode())
    with opened(tmp_path, str(path), "torn") as again:
        assert [s[1:] for s in seen(again)] == [s[1:] for s in seen(study)]
    assert "is incomplete" in capsys.readouterr().err
    assert path.read_bytes().startswith(whole)


def test_a_journal_torn_anywhere_in_its_last_line_opens(tmp_path: Path) -> None:
    path = tmp_path / "studies.log"
    with opened(tmp_path, str(path), "torn") as study:
        append(study, 0, 1)
    whole = path.read_bytes()
    begin = whole.rfind(b"\n", 0, -1) + 1
    for end in range(begin, len(whole), 97):
        path.write_bytes(whole[:end])
        with opened(tmp_path, str(path), "torn") as again:
            assert len(again.trials) == 1


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("postgresql+psycopg://bench:secret@127.0.0.1:9/none", "does not answer"),
        ("nosuch://here", "names no database that can be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_sentence(
    place: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught, storages.open_storage(tmp_path, place):
        pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def full(storage: RDBStorage) -> None:
    """Stops the growth of the database's file, as a full disk does."""

    @event.listens_for(storage.engine, "connect")
    def limit(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # no less than there are

    storage.remove_session()
    storage.engine.dispose()


def test_a_full_disk_is_one_sentence_and_leaves_the_study_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)  # Optuna waits before it tries again
    with storages.open_storage(tmp_path) as storage:
        study = StoredStudy(storage, "full", directions=["maximize"], identity={}, lag=2)
        assert isinstance(storage, RDBStorage)
        full(storage)
        with pytest.raises(
            InputError, match=r"study full .*disk is full\): remove the cause"
        ) as caught:
            append(study, *range(200))
        assert "\n" not in str(caught.value)
        identity: dict[str, JsonValue] = {"x": "x" * 100_000}
        with pytest.raises(InputError, match=r"study another .*disk is full"):
            StoredStudy(storage, "another", directions=["maximize"], identity=identity, lag=2)
    with opened(tmp_path, None, "full") as again:
        assert len(again.trials) > 0
        assert [s[1:] for s in seen(again)] == [s[1:] for s in seen(study)[:-1]]


def test_trials_of_others_are_kept_said_and_left_out(
    place: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "theirs"
    with opened(tmp_path, place, name) as study:
        append(study, 0)
        with storages.open_storage(tmp_path, place) as storage:
            optuna.load_study(storage=storage, study_name=name).optimize(lambda t: 0.5, n_trials=2)
        append(study, 1)
        assert study.enqueued() == []
    assert "has trials that no sweep made (1, 2): they are kept" in capsys.readouterr().err
    with opened(tmp_path, place, name) as again:
        assert [t.number for t in again.trials] == [0, 1]
        assert [s[1:5] for s in seen(again)] == [s[1:5] for s in seen(study)]
        append(again, 2)
    with storages.open_storage(tmp_path, place) as storage:
        stored = optuna.load_study(storage=storage, study_name=name).trials
    assert [("run_ids" in t.user_attrs) for t in stored] == [True, False, False, True, True]


def test_an_enqueued_point_is_given_once_and_its_trial_holds_the_result(
    place: str | None, tmp_path: Path
) -> None:
    name = "enqueued"
    with opened(tmp_path, place, name) as study:
        append(study, 0)
        with storages.open_storage(tmp_path, place) as storage:
            optuna.load_study(storage=storage, study_name=name).enqueue_trial({"lr": 0.5})
        append(study, 1)  # it was proposed before
        assert study.enqueued() == [stored_trials.EnqueuedPoint(1, {"lr": 0.5})]
        assert study.enqueued() == []
    with opened(tmp_path, place, name) as again:
        assert again.enqueued() == [stored_trials.EnqueuedPoint(1, {"lr": 0.5})]
        again.append(trial(3), place=1)
        again.store()
        append(again, 4)
    with opened(tmp_path, place, name) as last:
        assert last.enqueued() == []
        assert [t.user_attrs["run_ids"] for t in last.trials] == [
            [f"run-{n}"] for n in (0, 1, 3, 4)
        ]
        assert [t.number for t in last.trials] == [0, 1, 2, 3]
        assert [s[1:5] for s in seen(last)] == [s[1:5] for s in seen(again)]
        assert stored_trials.was_enqueued(last.trials[2])
        assert last.trials[2].duration is not None


class Killed(BaseException):
    """Simulates a crash."""


@pytest.mark.parametrize("writes", range(1, 9))
def test_a_result_that_a_crash_left_in_part_is_written_again(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(writes))

    def dying(write: Callable[..., object]) -> Callable[..., object]:
        def until_it_dies(*arguments: object) -> object:
            if next(left, None) is None:
                raise Killed
            return write(*arguments)

        return until_it_dies

    with opened(tmp_path, None, "ours") as study:
        append(study, 0)
        with storages.open_storage(tmp_path) as storage:
            optuna.load_study(storage=storage, study_name="ours").enqueue_trial({"lr": 0.5})
        study.append(trial(3), place=1)
        for what in ("param", "intermediate_value", "user_attr", "state_values"):
            name = f"set_trial_{what}"
            monkeypatch.setattr(RDBStorage, name, dying(getattr(RDBStorage, name)))
        with pytest.raises(Killed):
            study.store()
        monkeypatch.undo()
    with opened(tmp_path, None, "ours") as again:
        (enqueued,) = again.enqueued()
        again.append(trial(3), place=enqueued.place)
        again.store()
    with opened(tmp_path, None, "ours") as last:
        assert [t.user_attrs["run_ids"] for t in last.trials] == [["run-0"], ["run-3"]]
        assert last.enqueued() == []


def test_a_locked_database_gets_its_own_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)  # Optuna waits before it tries again
    with opened(tmp_path, None, "ours") as study:
        append(study, 0)
        with closing(sqlite3.connect(tmp_path / "studies.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(InputError, match=r"study ours is locked .* end that program"):
                append(study, 1)
            with (
                pytest.raises(InputError, match=r"studies.db is locked .* end that program"),
                storages.open_storage(tmp_path),
            ):
                pass


def sqlite_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE letters (text)")
        database.executemany("INSERT INTO letters VALUES (?)", [("x" * 100,)] * 500)
        database.commit()


def journal_of_another_program(path: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(storage=storage, study_name="theirs")
    study.set_user_attr("ours", "no")
    with path.open("a") as file:
        file.write('{"op_code": 4, "wor')  # it may be writing at this moment


FOREIGN = {
    "text": lambda path: path.write_text("one\ntwo\nthree, the precious one\n"),
    "a line": lambda path: path.write_text("this is no journal\n"),
    "an open line": lambda path: path.write_text("this is no journal"),
    "JSON lines": lambda path: path.write_text('{"a": 1}\n{"b": 2}\n{"c":'),
    "JSON": lambda path: path.write_text('{\n "options": {\n  "data": 1\n }\n}\n'),
    "zeros": lambda path: path.write_bytes(bytes(100)),
    "SQLite": sqlite_of_another_program,
    "a journal": journal_of_another_program,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_not_a_sweeps_journal_is_refused_and_left_as_it_is(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "theirs" / "notes.txt"
    path.parent.mkdir()
    FOREIGN[kind](path)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught, storages.open_storage(tmp_path, str(path)):
        pass
    assert str(path) in str(caught.value)
    assert "left unchanged" in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_not_a_journal(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="no journal"),
        storages.open_storage(tmp_path, str(tmp_path)),
    ):
        pass


def test_another_programs_database_gets_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    sqlite_of_another_program(path)
    before = path.read_bytes()
    for place in (None, f"sqlite:///{path}"):
        with (
            pytest.raises(InputError, match="another program's") as caught,
            storages.open_storage(tmp_path, place),
        ):
            pass
        assert str(path) in str(caught.value)
        assert path.read_bytes() == before


def test_a_database_whose_creation_was_interrupted_is_completed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "studies.db")) as database:
        database.execute(
            "CREATE TABLE studies (study_id INTEGER NOT NULL PRIMARY KEY, study_name VARCHAR(512))"
        )
    with opened(tmp_path, None, "ours") as study:
        append(study, 0)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("/a/path?password=x", "/a/path?password=x"),
        ("postgresql+psycopg://me@host:5432/db", "postgresql+psycopg://me@host:5432/db"),
        ("postgresql+psycopg://me:SE@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://me:S/E@C@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql://host/db?user=me&password=SE", "postgresql://host/db?user=me"),
        ("postgresql://host/db?PASSWORD=SE&user=me", "postgresql://host/db?user=me"),
        ("postgresql://host/db?p%61ssword=SE", "postgresql://host/db"),
        ("postgresql://host/db?sslpassword=SE&sslkey=k", "postgresql://host/db?sslkey=k"),
        ("postgresql://host/db?passfile=/p", "postgresql://host/db?passfile=/p"),
        ("mysql://me:SE@host/db?passwd=SE", "mysql://me@host/db"),
    ],
)
def test_a_password_is_neither_kept_nor_printed(url: str, kept: str, tmp_path: Path) -> None:
    save_options(options.Options(data=tmp_path, workers=1, storage=url), tmp_path)
    assert load_options(tmp_path).storage == kept
    assert "SE" not in kept


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://127.0.0.1:1/db?user=me&password=SEC%20RET",
        "postgresql+psycopg://me:SEC@RET@127.0.0.1:1/db",
        "postgresql+psycopg://me:SEC{RET}@127.0.0.1:1/db",
    ],
)
def test_a_driver_prints_no_password(url: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="does not answer") as caught,
        storages.open_storage(tmp_path, url),
    ):
        pass
    assert "SEC" not in str(caught.value)
    assert "RET" not in str(caught.value)


def test_a_password_is_not_kept(tmp_path: Path) -> None:
    url = "postgresql+psycopg://bench:se:c@ret@host/db"
    save_options(options.Options(data=tmp_path, workers=1, storage=url), tmp_path)
    assert "c@ret" not in (tmp_path / "sweep.json").read_text()
    kept = load_options(tmp_path).storage
    assert kept == "postgresql+psycopg://bench@host/db"
    assert json.loads((tmp_path / "sweep.json").read_text())["options"]["storage"] == kept
