"""Tests terminals that cannot encode the signs of tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reports.results_folder import sweep

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "latin-1", "C"],
)
@pytest.mark.parametrize("door", ["reports", "capsbench"])
def test_a_report_is_shown_on_every_terminal(
    door: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """Guards against two answers to a sign that a terminal lacks, by the command that is called."""
    files = sweep(variants=("capsnet", "linear"), datasets=("mnist",))
    shown = subprocess.run(
        [sys.executable, "-m", door, "show", "--results", files.write(tmp_path)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr.decode()
    assert shown.stderr == b""
    text = shown.stdout.decode("latin-1")
    assert "accuracy ^" in text
    assert "#: the mean is not better than each floor" in text
