"""Tests the parts of `python -m tests.tools.peers`; the peers are outside this repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from tests.tools.peers.__main__ import CASES, _line, main
from tests.tools.peers.ours import CASES as OURS

ROOT = Path(__file__).parents[2]


def test_a_contender_computes_only_in_its_turn() -> None:
    """It announces itself after two steps, and then makes steps only when a line asks for them."""
    code = (
        "from tests.tools.peers import turn\n"
        "turn.SHORTEST, made = 0.0, []\n"
        "turn.serve(lambda: made.append(1), 4, parameters=7)\n"
        "turn.answer(len(made))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        input="step\nstep\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    first, *seconds, made = (json.loads(line) for line in found.stdout.splitlines())
    assert (first["samples"], first["parameters"]) == (4, 7)
    assert first["bytes"] >= 0
    assert len(seconds) == 2
    assert made == 4


def test_a_line_has_the_ratio_of_each_round() -> None:
    class Ended:
        def __init__(self, seconds: list[float], **facts: int) -> None:
            self.seconds, self.facts = seconds, facts

    line = _line(
        "pcae",
        CASES["pcae"],
        Ended([4.0, 2.0, 3.0], bytes=200 << 20),  # type: ignore[arg-type]
        Ended([1.0, 1.0, 1.0], bytes=50 << 20, parameters=1234),  # type: ignore[arg-type]
        Ended([0.5, 0.5, 1.0], flops=10**9),  # type: ignore[arg-type]
    )
    assert "3.00 × (2.00 to 4.00)" in line
    assert "memory 50 of 200 MiB (0.25 ×)" in line
    assert "matrix product 2 GFLOP/s" in line


def test_a_peer_that_is_not_there_is_named(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(main)
    found = CliRunner().invoke(app, ["scae", "--peers", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert "scae: left out: clone bdsaglam/torch-scae to" in found.output


def test_each_case_has_both_sides() -> None:
    assert CASES.keys() <= OURS.keys()
