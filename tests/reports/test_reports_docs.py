"""The documentation names every table, column, mark and part that there is."""

import re
from pathlib import Path
from typing import get_args

import pytest
from results_folder import sweep

from benchmarks.datasets import names
from reports import compare, load, order
from reports.floor_tables import ABOVE_FLOORS
from reports.library import Report
from reports.records import load as load_results
from reports.standings import Mark
from reports.tables import TABLES

TEXT = (Path(__file__).parents[2] / "docs" / "reading-the-tables.md").read_text("utf-8")


def section(name):
    """The text below a heading of the third level."""
    return TEXT.partition(f"\n### {name}\n")[2].partition("\n#")[0]


def told(text):
    return set(re.findall(r"`([^`]+)`", text))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sweep().write(tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_every_table_is_explained(root, name):
    known = told(section(name)) | told(section("In many tables"))
    if name == "metrics":
        known |= told(section("leaderboard"))
    assert set(TABLES[name](load_results(root))) - known == set()


def test_every_column_of_a_comparison_is_explained():
    known = told(section("compare")) | told(section("In many tables"))
    assert set(compare.COLUMNS) - known == set()


def test_every_column_of_above_floors_is_explained(root):
    known = told(section("above_floors")) | told(section("In many tables"))
    assert set(load(root).above_floors()) - known - told(section("leaderboard")) == set()
    assert list(load(root).above_floors()) == list(ABOVE_FLOORS)


def test_every_mark_is_explained():
    marks = TEXT.partition("## Marks")[2].partition("## Columns")[0]
    assert {*get_args(Mark)} - {""} <= told(marks)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_in_the_library(root, name):
    assert getattr(Report(root), name)().equals(TABLES[name](load_results(root)))


def test_the_library_reads_curves_and_flags(root):
    report = load(root)
    curves = report.curves("linear-usps-quick")
    assert list(curves) == ["run_id", "epoch", "metric", "value"]
    assert len(curves) == 7 * 3 * 2
    assert any("3 seeds" in flag for flag in report.flags())
    with pytest.raises(KeyError):
        report.curves("no such study")


def test_datasets_are_in_the_order_of_the_benchmark():
    assert tuple(name for name in names() if name in order.DATASETS) == order.DATASETS


def test_an_unknown_name_comes_last():
    assert sorted(["zoo", "svhn", "atlas", "mnist"], key=order.by_dataset) == [
        "mnist",
        "svhn",
        "atlas",
        "zoo",
    ]
