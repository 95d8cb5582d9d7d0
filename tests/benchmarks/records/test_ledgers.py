"""Tests that ledgers are read as they were written, and that incomplete ledgers are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder
from benchmarks.records.ledger import CellLedger, States
from tests.reports.results_folder import ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns the path of a ledger in an existing folder."""
    (tmp_path / "cells").mkdir()
    return ResultsFolder(tmp_path).ledger("cnn-mnist-quick")


def test_a_ledger_is_read_as_it_was_written(path: Path, tmp_path: Path) -> None:
    written = CellLedger.model_validate(
        ledger("cnn", "mnist", "quick", trials=["a", "b"], importance={"lr": 1.0})
    )
    written.write(path)
    assert ResultsFolder(tmp_path).ledgers() == [written]


def test_an_equal_ledger_is_left_as_it_is(path: Path) -> None:
    written = CellLedger.model_validate(ledger("cnn", "mnist", "quick"))
    written.write(path)
    before = path.stat().st_ino
    written.write(path)
    assert path.stat().st_ino == before


@pytest.mark.parametrize("change", [{"unknown": 1}, {"retries": True}, {"left": -1}])
def test_a_ledger_of_another_shape_is_refused(change: dict[str, object], path: Path) -> None:
    path.write_text(json.dumps(ledger("cnn", "mnist", "quick") | change))
    field = next(iter(change))
    with pytest.raises(InputError, match=rf"cell's ledger of this version \({field}: ") as error:
        CellLedger.read(path)
    assert str(path) in str(error.value)


def test_trials_that_have_ended_are_counted_however_they_did() -> None:
    assert States(complete=3, pruned=2, fail=1).finished == 6
