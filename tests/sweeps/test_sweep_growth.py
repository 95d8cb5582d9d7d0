"""Tests sweeps that are added to, mended, or spread over workers, in the process of the tests."""

from __future__ import annotations

import bz2
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands.cli import main
from benchmarks.records.errors import InputError
from models.baselines import Linear
from models.variant import ImageShape
from sweeps import options, sweep
from sweeps.__main__ import app
from tests.narrowing import of_type
from tests.sweeps.command_lines import (
    ONLY_ONE,
    Report,
    call_here,
    hardened,
    ledger,
    new_tables,
    states,
    stored_states,
    tables,
)
from tests.sweeps.command_lines import options as all_cells

ONE_CELL = ("run", "--profile", "smoke", "--offline", *ONLY_ONE)


@pytest.fixture(autouse=True)
def _harder() -> Iterator[None]:
    with hardened():
        yield


def test_more_trials_are_added(tmp_path: Path) -> None:
    def some(trials: int, results: Path) -> Path:
        asked = (*ONE_CELL, "--engine", "inline", "--trials", str(trials))
        assert call_here(*asked, results=results) == 0
        return results

    grown = some(6, some(2, tmp_path / "grown"))
    whole = some(6, tmp_path / "whole")
    assert ledger(grown) == ledger(whole)
    assert len(ledger(grown)["trials"]) == 6
    assert new_tables(grown)["leaderboard.csv"] == new_tables(whole)["leaderboard.csv"]


def test_add_makes_more_trials_finals_and_cells(copied: Path) -> None:
    more = ("--trials", "1", "--seeds", "1", "--only", "linear/mnist")
    assert call_here("add", *more, results=copied) == 0
    cells = {p.stem: json.loads(p.read_text()) for p in (copied / "cells").glob("*.json")}
    assert cells.keys() >= {"linear-usps-smoke", "linear-mnist-smoke"}
    assert {sum(c["states"].values()) for c in cells.values()} == {7}
    assert {len(c["finals"]) for c in cells.values()} == {3}
    with pytest.raises(InputError, match="nothing to add"):
        call_here("add", results=copied)


def test_a_plan_grows_and_never_shrinks(copied: Path) -> None:
    """A later call without options keeps the larger plan, and changes no ledger."""
    cell = ledger(copied) | {"planned": {"trials": 7, "finals": 3}}
    (copied / "cells" / "linear-usps-smoke.json").write_text(json.dumps(cell))
    assert call_here(*all_cells("--engine", "inline"), results=copied) == 0
    assert (len(ledger(copied)["trials"]), len(ledger(copied)["finals"])) == (7, 3)


def test_a_lost_record_and_a_lost_database_are_made_again(undisturbed: Path, copied: Path) -> None:
    cell = ledger(copied)
    for run_id in (cell["trials"][1], cell["best"], cell["finals"][0]):
        (copied / "runs" / run_id / "record.json").unlink(missing_ok=True)
    assert call_here(*all_cells("--engine", "inline"), results=copied) == 0
    shutil.rmtree(copied / "report")
    (copied / "studies.db").unlink()
    assert call_here(*all_cells("--engine", "inline"), results=copied) == 0
    assert new_tables(copied) == tables(undisturbed)


def test_a_refused_call_changes_nothing(copied: Path, tmp_path: Path) -> None:
    before = (copied / "sweep.json").read_bytes()
    data = tmp_path / "data" / "USPS"
    data.mkdir(parents=True)
    for name, count in (("usps.bz2", 300), ("usps.t.bz2", 100)):
        values = " ".join(f"{place}:0.5" for place in range(2, 257))
        rows = "".join(f"{i % 10 + 1} 1:{i / 300} {values}\n" for i in range(count))
        (data / name).write_bytes(bz2.compress(rows.encode()))
    other = options.Options(
        profile="smoke", data=data.parent, only=("linear/usps",), workers=1, offline=True
    )
    with pytest.raises(InputError, match=r"begun with other .*was stand-in.*now partial"):
        sweep.sweep(other, copied)
    assert (copied / "sweep.json").read_bytes() == before


def test_a_damaged_database_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "studies.db").write_text("this is no database, but a text long enough to be one")
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*ONE_CELL, "--engine", "inline", "--results", str(tmp_path)]))
    assert left.value.code == 2
    assert "studies.db is not a study database" in capsys.readouterr().err


def test_a_failing_cell_is_recorded_and_the_sweep_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If a variant fails on a dataset, its records say so, the other cells end, and the exit
    code is 1.
    """
    loss = Linear.loss

    def burst(self: Linear, batch: Any) -> Any:
        if of_type(ImageShape, self.shape).height == 16:
            raise ValueError("it <b>burst</b> [/x] in the middle")
        return loss(self, batch)

    monkeypatch.setattr(Linear, "loss", burst)
    asked = (*ONE_CELL, "--only", "linear/mnist", "--engine", "inline", "--trials", "2")
    assert call_here(*asked, results=tmp_path, report=Report) == 1
    assert "linear-usps-smoke has no final" in capsys.readouterr().err
    failures = (tmp_path / "report" / "tables" / "failures.csv").read_text()
    assert "ValueError: it <b>burst</b> [/x] in the middle" in failures
    leaderboard = (tmp_path / "report" / "tables" / "leaderboard.csv").read_text()
    assert "classification,mnist,linear,accuracy,maximize,0." in leaderboard
    assert "classification,usps,linear,accuracy,maximize,,,,0" in leaderboard


CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "seeds": ("seeds: 3", {"trials": 18}),
    "cost": ("cost: parameters", {"cost": "parameters"}),
    "hyperband": ("pruner: hyperband", {}),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_study_configuration_is_kept_through_workers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep by two workers equals a sweep by one, for every study configuration."""
    text, expected = CONFIGURATIONS[name]
    monkeypatch.setenv("HARDER_STUDY", text)
    found = []
    for engine in (("--engine", "inline"), ("--workers", "2")):
        results = tmp_path / engine[1]
        assert call_here(*ONE_CELL, *engine, results=results) == 0
        found.append(new_tables(results))
    assert found[0] == found[1]
    cell = ledger(results)
    assert cell["cost"] == expected.get("cost")
    assert len(cell["trials"]) == expected.get("trials", 6)
    assert (found[0]["pareto.csv"].count(b"\n") > 1) == (name == "cost")
    assert stored_states(results) == states(results)
