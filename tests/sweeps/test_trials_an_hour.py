"""Tests what `capsbench sweep-speed` compares; speed itself is not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps import trials_per_hour
from sweeps.trials_per_hour import SearchTimes

ROOT = Path(__file__).parents[2]


RECIPE = """
import json, os, sys
from benchmarks.specs.profiles import ProfileName, load_profile
from sweeps import plain_recipe
plain_recipe.load_profile = lambda name: load_profile(ProfileName.smoke)
pruned = sys.argv[1] == "1"
# Absolute: the service of Weights & Biases may be one that another test started elsewhere.
here = os.getcwd()
ends = plain_recipe.run_plain_study("cnn", "usps", 3, "none, so stand-ins", here, pruned)
print(json.dumps(ends))
"""


@pytest.mark.parametrize("pruned", [False, True])
def test_the_plain_recipe_searches(pruned: bool, tmp_path: Path) -> None:
    """It runs in its own process, because Weights & Biases keeps its mode for a whole process."""
    done = subprocess.run(
        [sys.executable, "-c", RECIPE, str(int(pruned))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_SILENT": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    assert len(ends) == 3
    assert ends == sorted(ends)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 3


def test_rows_are_ratios_to_the_plain_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trials_per_hour, "_plain", lambda *_: SearchTimes(20.0, 2.0))
    monkeypatch.setattr(trials_per_hour, "_sweep", lambda *_: SearchTimes(10.0, 0.5))
    trials_per_hour.print_trials_per_hour(["linear"], 5, tmp_path)
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["variant", "pruning", "by"]
    assert [row.split() for row in rows[:3]] == [
        ["linear", "none", "plain", "20.0", "900", "1.00", "2.000", "1.00"],
        ["linear", "none", "1", "worker", "10.0", "1800", "2.00", "0.500", "4.00"],
        ["linear", "none", "2", "workers", "10.0", "1800", "2.00", "0.500", "4.00"],
    ]
    assert [row.split()[1] for row in rows] == ["none"] * 3 + ["median"] * 3


def test_the_pace_leaves_out_each_workers_first_trial() -> None:
    assert trials_per_hour._later([0.0, 1.0, 2.0, 4.0], 1) == pytest.approx(4 / 3)
    assert trials_per_hour._later([0.0, 1.0, 2.0, 4.0], 2) == pytest.approx(1.5)


@pytest.mark.parametrize("pruned", [False, True])
def test_the_driver_starts_with_and_without_pruning(pruned: bool) -> None:
    """The driver is a text, in which linters find no unknown name."""
    done = subprocess.run(
        [sys.executable, "-c", trials_per_hour._DRIVER.format(pruned=pruned), "run", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
