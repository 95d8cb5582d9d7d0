from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from reports.compare import compare
from reports.results import read_results
from tests.reports.results_folder import Files, sweep


def compared(a: Files, b: Files, root: Path) -> dict[tuple[str, str], dict[Hashable, Any]]:
    table = compare(read_results(a.write(root / "a")), read_results(b.write(root / "b")))
    return {(row["variant"], row["dataset"]): row for row in table.to_dict("records")}


def test_a_folder_is_equal_to_itself(tmp_path: Path) -> None:
    files = sweep()
    rows = compared(files, files, tmp_path)
    assert {row["verdict"] for row in rows.values()} == {"equal"}
    assert {row["changed"] for row in rows.values()} == {""}


@pytest.mark.parametrize(
    ("task", "shift", "verdict", "better"),
    [
        ("classification", 0.03, "better", 0.03),
        ("classification", -0.03, "worse", -0.03),
        ("classification", 0.01, "unclear", 0.01),  # 20 of 2,000 test images
        ("prediction", 5.0, "worse", -5.0),
    ],
)
def test_differences_are_paired_and_signed_by_what_is_better(
    tmp_path: Path, task: str, shift: float, verdict: str, better: float
) -> None:
    a, b = (sweep(variants=("cnn",), datasets=("mnist",), task=task) for _ in "ab")
    metric = "test/accuracy" if task == "classification" else "test/mse"
    for number in range(3):
        b.run("cnn-mnist-quick", "final", number)["metrics"][metric] += shift * (1 + number / 100)
    row = compared(a, b, tmp_path)["cnn", "mnist"]
    assert row["verdict"] == verdict
    assert row["better"] == pytest.approx(better, rel=0.02)
    assert row["low"] < row["better"] < row["high"]
    assert (row["low"] < 0 < row["high"]) == (verdict == "unclear") == (row["p"] > 0.05)
    assert row["pairs"] == 3


def test_what_is_in_one_folder_alone_and_what_else_changed(tmp_path: Path) -> None:
    a, b = sweep(variants=("cnn", "vit"), datasets=("mnist",)), sweep(variants=("cnn", "linear"))
    for number in range(3):
        final = b.run("cnn-mnist-quick", "final", number)
        final["provenance"]["code_version"] = "another"
        final["spec"]["hyperparameters"]["routing"] = 1
    b.cells["cnn-mnist-quick"]["finals"].pop()
    rows = compared(a, b, tmp_path)
    assert rows["vit", "mnist"]["verdict"] == "only in A"
    assert rows["linear", "usps"]["verdict"] == "only in B"
    assert rows["cnn", "mnist"]["changed"] == "code, hyper-parameters"
    assert rows["cnn", "mnist"]["pairs"] == 2


def test_seeds_that_differ_are_not_compared(tmp_path: Path) -> None:
    a, b = (sweep(variants=("cnn",), datasets=("mnist",), finals=2) for _ in "ab")
    for number in range(2):
        b.run("cnn-mnist-quick", "final", number)["spec"]["seed"] = number
    assert compared(a, b, tmp_path)["cnn", "mnist"]["verdict"] == "no common seeds"


def test_intervals_and_verdicts_agree_among_many_cells(tmp_path: Path) -> None:
    """p was corrected for the number of cells, and the interval beside it was not."""
    datasets = ("mnist", "usps", "svhn", "cifar10")
    a, b = (sweep(variants=("cnn", "linear", "mlp"), datasets=datasets) for _ in "ab")
    shifts = {}
    for place, study in enumerate(a.cells):
        shifts[study] = 0.016 + 0.001 * place
        for number in range(3):
            metrics = b.run(study, "final", number)["metrics"]
            metrics["test/accuracy"] += shifts[study] * (1 + number / 100)
    rows = compared(a, b, tmp_path).values()
    assert {row["verdict"] for row in rows} == {"better", "unclear"}
    for row in rows:
        assert (row["low"] > 0) == (row["p"] <= 0.05) == (row["verdict"] == "better")


def test_scores_that_are_no_numbers_are_not_compared(tmp_path: Path) -> None:
    a, b = (sweep(variants=("cnn",), datasets=("mnist",), task="prediction") for _ in "ab")
    b.run("cnn-mnist-quick", "final", 0)["metrics"]["test/mse"] = float("inf")
    row = compared(a, b, tmp_path)["cnn", "mnist"]
    assert row["verdict"] == "not finite"
