from __future__ import annotations

import csv as csv_reader
import math
import os
import stat
from io import StringIO
from pathlib import Path

import pytest

from reports.formats import LONGEST, csv, frame, markdown, one_line, readable, write

COLUMNS = {"text": "str", "figure": "float64", "count": "Int64"}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.98471, "0.9847"),
        (98.4712, "98.47"),
        (-1234.56, "-1235"),
        (0.0, "0"),
        (0.00123456, "0.001235"),
        (1.5e-5, "1.500e-05"),
        (8.2e9, "8.200e+09"),
        (math.inf, "inf"),
        (math.nan, ""),
    ],
)
def test_readable(number: float, text: str) -> None:
    assert readable(number) == text


def test_csv_keeps_every_digit_and_leaves_gaps_empty() -> None:
    table = frame(COLUMNS, [("a", 0.1 + 0.2, None), ("b", math.nan, 8_215_568)])
    assert csv(table) == "text,figure,count\na,0.30000000000000004,\nb,,8215568\n"


def test_an_empty_table_keeps_its_head() -> None:
    table = frame(COLUMNS, [])
    assert csv(table) == "text,figure,count\n"
    assert markdown(table).splitlines()[0] == "| text   | figure   | count   |"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\n\n  first\u2028second", "first"),
        ("\x1b[31mred\x00\tend", " [31mred  end"),
        ("abc\u202etxt.exe", "abc txt.exe"),
        ("\ud800 alone", "  alone"),
        ("héllo 😀", "héllo 😀"),
        ("", ""),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_long_text_is_cut() -> None:
    assert one_line("x" * LONGEST) == "x" * LONGEST
    assert one_line("x" * 10_000) == "x" * (LONGEST - 1) + "…"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)"])
def test_csv_formulas_are_quoted(text: str) -> None:
    assert csv(frame({"text": "str"}, [(text,)])) == f"text\n'{text}\n"


@pytest.mark.parametrize("text", ["-1e-3", "+5", "a=b", "capsnet-mnist"])
def test_csv_leaves_other_texts_alone(text: str) -> None:
    assert csv(frame({"text": "str"}, [(text,)])) == f"text\n{text}\n"


def test_csv_separators_survive() -> None:
    text = 'a "quoted", text; with |'
    rows = list(csv_reader.reader(StringIO(csv(frame({"text": "str"}, [(text,)])))))
    assert rows == [["text"], [text]]


def test_markdown_shows_hostile_text_as_text() -> None:
    table = frame({"text": "str"}, [("<script>|`[x](y)*_b_ balanced_accuracy",)])
    row = markdown(table).splitlines()[2]
    shown = "&lt;script>\\|\\`\\[x\\](y)\\*\\_b\\_ balanced_accuracy"
    assert row.strip("| ") == shown


def test_write_replaces_whole_files_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "table.csv"
    write(path, "old\n")
    write(path, "new ±\n")
    assert path.read_bytes() == "new ±\n".encode()

    def broken(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="no space"):
        write(path, "newer\n")
    assert path.read_bytes() == "new ±\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["table.csv"]


def test_write_has_the_content_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    replace = os.replace

    def sync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        steps.append("folder" if stat.S_ISDIR(found.st_mode) else ("on disk", found.st_size))

    def rename(*names: Path) -> None:
        steps.append("named")
        replace(*names)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    write(tmp_path / "table.csv", "a,b\n")
    assert steps == [("on disk", 4), "named", "folder"]
