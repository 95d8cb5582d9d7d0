"""Tests that files have their complete old or new content, also on a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.commands.cli import main
from benchmarks.records.atomic_files import append_durably, replacing, write_atomically


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates a disk that accepts a write, and then reports that it is full."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", refuse)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    "write", [lambda path: append_durably(path, "new"), lambda path: write_atomically(path, b"new")]
)
def test_a_full_disk_is_one_sentence_and_tears_nothing(
    write: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("old\n")
    with pytest.raises(SystemExit) as left:
        main(lambda: write(path))
    assert left.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert f"{path}: No space left on device" in printed
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_added(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_durably(path, "one")
    append_durably(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "one\nzwölf\n"


def test_an_error_removes_the_temporary_file_and_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        assert temporary.write_text("half") / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_appears_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'.*/missing'"), replacing(tmp_path / "archive"):
        (tmp_path / "missing").read_bytes()
