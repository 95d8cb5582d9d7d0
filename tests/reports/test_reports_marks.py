"""Marks and intervals as the leaderboard has them, and what is not shown since it would mislead."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from reports import page
from reports.results import read_results
from reports.tables import build_tables, leaderboard
from reports.tables.trial_lists import importance
from tests.reports.results_folder import put, sweep, variants


def test_finding_7_the_memory_of_a_cpu_process_is_not_shown(tmp_path: Path) -> None:
    """A worker's memory grew from cell to cell: copy-last, without a parameter, had the most."""
    table = build_tables(read_results(sweep().write(tmp_path)), ["costs"])["costs"]
    assert table["peak_memory_bytes"].isna().all()


def test_the_best_and_what_may_be_best_are_marked(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear", "mlp", "vit"), datasets=("mnist",))
    put(files, "cnn-mnist-quick", [0.95, 0.96, 0.97])
    put(files, "linear-mnist-quick", [0.90, 0.911, 0.92])
    put(files, "mlp-mnist-quick", [0.97, 0.94, 0.955])
    put(files, "vit-mnist-quick", [0.80, 0.1, 0.2])
    files.cells["vit-mnist-quick"]["finals"] = files.cells["vit-mnist-quick"]["finals"][:1]
    table = variants(read_results(files.write(tmp_path))).set_index("variant")
    marks = {"cnn": "may be best", "mlp": "may be best", "linear": "worse", "vit": "too few seeds"}
    assert dict(table["mark"]) == marks
    assert table.loc["linear", "behind"] == pytest.approx(0.0496667, abs=1e-6)
    assert table["behind_at_most"]["linear"] > 0.06
    assert pd.isna(table["behind_at_most"]["vit"])
    assert (table.loc["vit", "ci_of"], table.loc["vit", "by_seed"]) == ("too few seeds", "[0.8000]")


@pytest.mark.parametrize("rival", ["no final", "too few seeds", "better, but not above its floors"])
def test_none_is_best_while_a_rival_is_undecided(tmp_path: Path, rival: str) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    put(files, "cnn-mnist-quick", [0.95, 0.96, 0.97])
    put(files, "linear-mnist-quick", [0.5, 0.5, 0.5])
    assert list(variants(read_results(files.write(tmp_path)))["mark"]) == ["best", "worse"]
    cell = files.cells["linear-mnist-quick"]
    if rival == "no final":
        cell["finals"] = []
    elif rival == "too few seeds":
        cell["finals"] = cell["finals"][:2]
    else:
        put(files, "linear-mnist-quick", [0.97, 0.98, 0.99])
        for number in range(3):
            files.run("linear-mnist-quick", "final", number)["floors"] = {"x": {"accuracy": 0.985}}
    table = variants(read_results(files.write(tmp_path))).set_index("variant")
    assert table.loc["cnn", "mark"] == "may be best"


def test_a_deterministic_baseline_is_called_so(tmp_path: Path) -> None:
    files = sweep(variants=("kmeans", "cnn"), datasets=("mnist",), epochs=0)
    for number in range(3):
        files.run("cnn-mnist-quick", "final", number)["epochs"] = 1
    put(files, "kmeans-mnist-quick", [0.5, 0.5, 0.5])
    put(files, "cnn-mnist-quick", [0.5, 0.5, 0.5])
    table = variants(read_results(files.write(tmp_path))).set_index("variant")
    assert table.loc["kmeans", "ci_of"] == "deterministic: test set alone"
    assert table.loc["cnn", "ci_of"] == "seeds and test set"


def test_finding_5_a_row_says_how_many_samples_scored_it_and_what_its_interval_includes(
    tmp_path: Path,
) -> None:
    table = variants(read_results(sweep().write(tmp_path)))
    assert list(table["test_samples"]) == [2000] * 4
    assert set(table["ci_of"]) == {"seeds and test set"}


def test_finding_7_no_p_value_is_called_chance(tmp_path: Path) -> None:
    text = (Path(page.__file__).parent / "index.html.j2").read_text("utf-8")
    assert "that this is chance" not in text
    assert "p" not in leaderboard(read_results(sweep().write(tmp_path)))


def test_finding_7_importance_of_few_trials_is_not_shown(tmp_path: Path) -> None:
    """`lr 99 %` was that of two trials."""
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=19)
    files.cells["cnn-mnist-quick"]["importance"] = {"a": 0.2, "b": 0.8}
    assert importance(read_results(files.write(tmp_path))).empty
