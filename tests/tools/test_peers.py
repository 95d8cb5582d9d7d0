"""Tests the parts of `python -m tests.tools.peers`; the peers are outside this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.tools.peers.__main__ import CASES, Case, Contender, _line, main
from tests.tools.peers.ours import CASES as OURS
from tests.tools.peers.theirs import STEPS as THEIRS

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
        def __init__(self, seconds: list[float], **facts: int | str) -> None:
            self.seconds, self.facts = seconds, facts

    line = _line(
        "pcae",
        CASES["pcae"],
        Ended([4.0, 2.0, 3.0], bytes=200 << 20, libraries="jax 1.2"),  # type: ignore[arg-type]
        Ended([1.0, 1.0, 1.0], bytes=50 << 20, parameters=1234, libraries="torch 3.4"),  # type: ignore[arg-type]
        Ended([0.5, 0.5, 1.0], flops=10**9),  # type: ignore[arg-type]
    )
    assert "by mlberkeley/scae-pytorch (jax 1.2), 128 by ours (torch 3.4)" in line
    assert "3.00 × (2.00 to 4.00)" in line
    assert "memory 50 of 200 MiB (0.25 ×)" in line
    assert "matrix product 2 GFLOP/s" in line


def test_a_peer_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = called("scae", "--peers", tmp_path)
    assert found.exit_code == 0, found.output
    assert "scae: left out: clone bdsaglam/torch-scae to" in found.output


def test_libraries_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer's libraries are sought where `--python` says, and one sentence names those absent."""
    case = Case("owner+name", 1, ("json", "no_such_library", "nor_this"))
    monkeypatch.setitem(CASES, "linear", case)
    (tmp_path / case.peer).mkdir()
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n')
    interpreter.chmod(0o755)
    found = called("linear", "--peers", tmp_path, "--python", interpreter)
    assert found.exit_code == 0, found.output
    assert (
        f"linear: left out: {interpreter} cannot import no_such_library, nor_this" in found.output
    )


def test_a_contender_runs_on_the_cores_and_the_interpreter_that_it_is_given(
    tmp_path: Path,
) -> None:
    """XLA starts as many threads as its process may use cores."""
    core = max(os.sched_getaffinity(0))
    interpreter = tmp_path / "python"
    interpreter.write_text(
        f"#!{sys.executable}\n"
        "import json, os\n"
        "print(json.dumps([*os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS']]))\n"
    )
    interpreter.chmod(0o755)
    contender = Contender("theirs", cores=[core], python=str(interpreter))
    contender.end()
    assert contender.facts == [core, "1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-case"], "no-such-case: the cases are capsnet, "),
        (["--threads", 4096], "take --threads "),
        (["--python", "/no/such/python"], "does not exist"),
    ],
)
def test_bad_arguments_end_in_a_sentence(arguments: list[object], sentence: str) -> None:
    found = called(*arguments)
    assert found.exit_code == 2
    assert sentence in " ".join(found.output.replace("│", " ").split())


def test_each_case_has_both_sides() -> None:
    assert {case.variant or name for name, case in CASES.items()} == OURS.keys()
    assert CASES.keys() == THEIRS.keys()


def called(*arguments: object) -> Result:
    """Calls the command with one thread, as it is called from a shell."""
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, ["--threads", "1", *map(str, arguments)])
