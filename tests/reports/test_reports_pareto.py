"""Tests the table of Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.results import read_results
from reports.tables.pareto_fronts import pareto
from tests.reports.results_folder import sweep


def front(
    tmp_path: Path, points: Sequence[tuple[float, float]], metric: str = "accuracy", **options: Any
) -> list[tuple[float, float]]:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=len(points), **options)
    files.cells["cnn-mnist-quick"]["cost"] = "parameters"
    for number, (score, parameters) in enumerate(points):
        record = files.run("cnn-mnist-quick", "trial", number)
        record["metrics"][f"validation/{metric}"] = score
        record["costs"]["parameters"] = parameters
    table = pareto(read_results(files.write(tmp_path)))
    return list(zip(table["score"], table["amount"], strict=True))


def test_a_beaten_trial_is_not_on_the_front(tmp_path: Path) -> None:
    points = [(0.9, 100), (0.8, 50), (0.7, 60), (0.9, 120), (0.5, 10), (0.5, 10)]
    assert front(tmp_path, points) == [(0.9, 100), (0.8, 50), (0.5, 10)]


def test_of_an_error_the_smaller_is_better(tmp_path: Path) -> None:
    points = [(200.0, 10), (100.0, 50), (150.0, 60)]
    found = front(tmp_path, points, metric="mse", task="prediction")
    assert found == [(100.0, 50), (200.0, 10)]


def test_failed_trials_and_studies_of_one_objective_are_left_out(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    files.cells["cnn-mnist-quick"]["cost"] = "parameters"
    for number in range(4):
        files.run("cnn-mnist-quick", "trial", number)["status"] = "failed"
    assert pareto(read_results(files.write(tmp_path))).empty


def test_a_trial_without_a_figure_of_its_cost_is_left_out(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=3)
    files.cells["cnn-mnist-quick"]["cost"] = "parameters"
    files.run("cnn-mnist-quick", "trial", 0)["costs"]["parameters"] = None
    del files.run("cnn-mnist-quick", "trial", 1)["metrics"]["validation/accuracy"]
    table = pareto(read_results(files.write(tmp_path)))
    assert list(table["run_id"]) == [files.cells["cnn-mnist-quick"]["trials"][2]]
