"""Tests the comparison of runs: differences are listed, and runs of different kinds are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reports.__main__ import app
from tests.reports.results_folder import sweep


def compared(root: Path, *things: str) -> Result:
    return CliRunner().invoke(app, ["compare", *things, "--results", str(root)])


def test_what_differs_is_listed_beside_all_metrics(tmp_path: Path) -> None:
    files = sweep(variants=("linear",), datasets=("mnist",))
    root = files.write(tmp_path)
    one, two = files.cells["linear-mnist-quick"]["finals"][:2]
    done = compared(root, one, two, "--csv")
    assert done.exit_code == 0, done.output
    rows = {line.split(",")[1]: line.split(",")[2:] for line in done.stdout.splitlines()}
    assert rows["name"] == [one, two]
    assert rows["learning_rate"] == ["0.001", "0.0005"]
    assert "routing" not in rows, "both runs have the same"
    accuracy = [files.records[run]["metrics"]["test/accuracy"] for run in (one, two)]
    assert rows["test/accuracy"] == [f"{value:.6g}" for value in accuracy]
    assert (root / "report" / "compared-runs.png").stat().st_size > 5000
    assert compared(root, one, two).exit_code == 0


@pytest.mark.parametrize("things", [(), ("only-one",), ("none-1", "none-2")])
def test_what_cannot_be_compared_is_one_sentence(
    tmp_path: Path, things: tuple[()] | tuple[str, str] | tuple[str]
) -> None:
    root = sweep(variants=("linear",), datasets=("mnist",)).write(tmp_path)
    done = compared(root, *things)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    files = sweep(variants=("linear",), datasets=("mnist",))
    one = files.cells["linear-mnist-quick"]["finals"][0]
    done = compared(files.write(tmp_path), one, one)
    assert done.exit_code == 2
    assert "is named twice" in done.output


def test_two_folders_are_compared_as_before(tmp_path: Path) -> None:
    one, two = (sweep(variants=("linear",)).write(tmp_path / name) for name in ("a", "b"))
    done = compared(tmp_path, str(one), str(two))
    assert done.exit_code == 0, done.output
    assert "verdict" in done.stdout
