"""What `python -m sweeps speed` compares; how fast anything is, is not tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.profiles import Name, load
from sweeps import plain_recipe, speed
from sweeps.speed import Timed


@pytest.mark.filterwarnings("ignore")  # Lightning's advice, and what wandb leaves open
@pytest.mark.parametrize("pruned", [False, True])
def test_the_plain_recipe_searches(
    pruned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")  # also where another test of the process is not
    monkeypatch.setattr(plain_recipe, "load_profile", lambda name: load(Name.smoke))
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "none, so stand-ins"
    ends = plain_recipe.study("cnn", "usps", 3, str(data), str(tmp_path), pruned)
    assert len(ends) == 3
    assert ends == sorted(ends)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 3


def test_rows_are_ratios_to_the_plain_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "_plain", lambda *_: Timed(20.0, 2.0))
    monkeypatch.setattr(speed, "_sweep", lambda *_: Timed(10.0, 0.5))
    speed.show(["linear"], 5, tmp_path)
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["variant", "pruning", "by"]
    assert [row.split() for row in rows[:3]] == [
        ["linear", "none", "plain", "20.0", "900", "1.00", "2.000", "1.00"],
        ["linear", "none", "1", "worker", "10.0", "1800", "2.00", "0.500", "4.00"],
        ["linear", "none", "2", "workers", "10.0", "1800", "2.00", "0.500", "4.00"],
    ]
    assert [row.split()[1] for row in rows] == ["none"] * 3 + ["median"] * 3


def test_the_pace_leaves_out_each_workers_first_trial() -> None:
    assert speed._later([0.0, 1.0, 2.0, 4.0], 1) == pytest.approx(4 / 3)
    assert speed._later([0.0, 1.0, 2.0, 4.0], 2) == pytest.approx(1.5)
