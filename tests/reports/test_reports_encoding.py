"""Terminals that cannot encode the signs of tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from results_folder import sweep

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "+-: half of the mean's"),
        ({"PYTHONIOENCODING": "latin-1"}, "±: half of the mean's"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "+-: half of the mean's"),
    ],
    ids=["ascii", "latin-1", "C"],
)
def test_a_report_is_shown_on_every_terminal(
    environment: dict[str, str], expected: str, tmp_path: Path
) -> None:
    files = sweep(variants=("capsnet", "linear"), datasets=("mnist",))
    shown = subprocess.run(
        [sys.executable, "-m", "reports", "show", "--results", files.write(tmp_path)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr.decode()
    assert shown.stderr == b""
    assert expected in shown.stdout.decode("latin-1")
