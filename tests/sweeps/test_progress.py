"""Tests that the lines of a sweep fit the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from optuna.trial import TrialState
from rich.console import Console

from benchmarks.commands.cli import duration
from sweeps.cells.cell import Cell
from sweeps.progress import Progress

TRIAL = SimpleNamespace(user_attrs={"run_ids": ["a"], "seconds": 3600.0}, state=TrialState.COMPLETE)


def shown(left: int, width: int) -> str:
    cells = [
        SimpleNamespace(
            study=f"s{i}",
            done=not left,
            planned=20,
            left=left,
            left_by_role={"trial": left} if left else {},
            variant="cnn",
            dataset="svhn",
            trials=[TRIAL],
            finals={},
            bases={},
            specs=SimpleNamespace(base_variant=None, profile=SimpleNamespace(lag=4)),
        )
        for i in range(85)
    ]
    progress = Progress(cast(list[Cell], cells), Path("results"))
    progress._begun -= 45_000
    text = io.StringIO()
    progress._console = Console(file=text, force_terminal=True, width=width)
    progress._console.print(cast(Any, progress._view()))
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_head_is_one_line(width: int) -> None:
    assert len(shown(10, width).split("\n\n")[0].splitlines()) == 1
    assert "850 of 1700 runs" in shown(10, width)


def test_no_time_is_left_at_the_end() -> None:
    assert " left" in shown(10, 120)
    assert " left" not in shown(0, 120)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (187, "3 min 07 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
