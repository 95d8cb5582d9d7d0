"""Tests that the documentation names every table, column and mark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.datasets import names
from benchmarks.records.errors import InputError
from reports import compare, load, row_order
from reports.report_object import Report
from reports.results import read_results
from reports.statistics.ranking import Mark
from reports.tables import TABLES
from reports.tables.floor_tables import ABOVE_FLOORS
from tests.reports.results_folder import sweep

TEXT = (Path(__file__).parents[2] / "docs" / "reading-the-tables.md").read_text("utf-8")


def section(name: str) -> str:
    """Returns the text below a heading of the third level."""
    return TEXT.partition(f"\n### {name}\n")[2].partition("\n#")[0]


def mentioned(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep().write(tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_every_table_is_explained(root: Path, name: str) -> None:
    known = mentioned(section(name)) | mentioned(section("In many tables"))
    if name == "metrics":
        known |= mentioned(section("leaderboard"))
    if name in ("runs", "matrix"):
        known |= mentioned(section("scores")) | {"mnist", "usps"}
    assert set(TABLES[name](read_results(root))) - known == set()


def test_every_column_of_a_comparison_is_explained() -> None:
    known = mentioned(section("compare")) | mentioned(section("In many tables"))
    assert set(compare.COLUMNS) - known == set()


def test_every_column_of_above_floors_is_explained(root: Path) -> None:
    known = mentioned(section("above_floors")) | mentioned(section("In many tables"))
    assert set(load(root).above_floors()) - known - mentioned(section("leaderboard")) == set()
    assert list(load(root).above_floors()) == list(ABOVE_FLOORS)


def test_every_mark_is_explained() -> None:
    marks = TEXT.partition("## Marks")[2].partition("## Columns")[0]
    assert {*get_args(Mark)} - {""} <= mentioned(marks)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_in_the_library(root: Path, name: str) -> None:
    table = getattr(Report(root), name)()
    table = table.reset_index() if name == "matrix" else table
    assert table.equals(TABLES[name](read_results(root)))


def test_the_library_reads_curves_and_flags(root: Path) -> None:
    report = load(root)
    curves = report.curves("linear-usps-quick")
    assert list(curves) == ["run_id", "epoch", "metric", "value"]
    assert len(curves) == 7 * 3 * 2
    assert any("3 seeds" in flag for flag in report.flags())
    with pytest.raises(InputError, match="did you mean 'linear-usps-quick'"):
        report.curves("linear-usp-quick")


def test_datasets_are_in_the_order_of_the_benchmark() -> None:
    assert tuple(name for name in names() if name in row_order.DATASETS) == row_order.DATASETS


def test_an_unknown_name_comes_last() -> None:
    assert sorted(["zoo", "svhn", "atlas", "mnist"], key=row_order.by_dataset) == [
        "mnist",
        "svhn",
        "atlas",
        "zoo",
    ]
