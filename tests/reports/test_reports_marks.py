"""Tests marks and intervals of the leaderboard, and that misleading numbers are not shown."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from reports import page
from reports.paper_tables import paper_tables
from reports.results import Results, read_results
from reports.tables import build_tables, leaderboard
from reports.tables.trial_lists import importance
from reports.terminal_tables import show
from tests.reports.results_folder import put, sweep, variants


def test_the_memory_of_a_cpu_process_is_not_shown(tmp_path: Path) -> None:
    """Before: a worker's memory grew from cell to cell, and copy-last, which has no parameters,
    had the most.
    """
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


def few_seeds(root: Path) -> Results:
    """Returns results of two variants: one of three seeds, one of two equal ones."""
    files = sweep(variants=("cnn", "vit"), datasets=("mnist",))
    put(files, "cnn-mnist-quick", [0.95, 0.96, 0.97])
    put(files, "vit-mnist-quick", [0.5, 0.5, 0.5])
    files.cells["vit-mnist-quick"]["finals"] = files.cells["vit-mnist-quick"]["finals"][:2]
    return read_results(files.write(root))


def shown(results: Results) -> str:
    """Returns what `capsbench show` prints."""
    console = Console(width=120, record=True, file=StringIO())
    show(results, console)
    return console.export_text()


def test_a_cell_that_cannot_be_tested_says_so(tmp_path: Path) -> None:
    """Known mistake: it had no sign, like a variant that is worse than the best."""
    results = few_seeds(tmp_path)
    table = variants(results).set_index("variant")
    assert dict(table["mark"]) == {"cnn": "may be best", "vit": "too few seeds"}
    (line,) = (line for line in shown(results).splitlines() if " vit " in line)
    assert "too few seeds" in line
    paper = paper_tables(leaderboard(results))
    assert r"$50.0^{\circ}$" in paper


def test_two_equal_seeds_are_shown_instead_of_an_interval_of_0(tmp_path: Path) -> None:
    """`0.2188 ± 0` stood there."""
    results = few_seeds(tmp_path)
    row = variants(results).set_index("variant").loc["vit"]
    assert row[["ci_low", "ci_high"]].isna().all()
    assert row["by_seed"] == "[0.5000, 0.5000]"
    text = shown(results)
    assert "seeds:" in text
    assert text.count("0.5000") == 3  # the mean and its seeds
    assert "±" not in text


def test_the_size_of_the_test_set_stands_wherever_a_score_does(tmp_path: Path) -> None:
    """A reader answered `10,000` with certainty: it was 64."""
    files = sweep(variants=("capsnet",), datasets=("mnist",))
    results = read_results(files.write(tmp_path))
    tables = build_tables(results, ["leaderboard", "metrics", "published", "scores", "data"])
    for name in ("leaderboard", "metrics"):
        assert set(tables[name]["test_samples"]) == {2000}
    published = tables["published"]
    assert set(published[published["ours"].notna()]["test_samples"]) == {2000}
    scores = tables["scores"]
    assert set(scores[scores["split"] == "test"]["test_samples"]) == {2000}
    used = tables["data"].iloc[0]
    assert (used["test"], used["test_of"], used["test_selection"]) == (2000, 10_000, "stratified")
    assert "2,000 test" in shown(results)
    assert "Test samples: 2,000." in paper_tables(tables["leaderboard"])


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


def test_a_row_says_how_many_samples_scored_it_and_what_its_interval_includes(
    tmp_path: Path,
) -> None:
    table = variants(read_results(sweep().write(tmp_path)))
    assert list(table["test_samples"]) == [2000] * 4
    assert set(table["ci_of"]) == {"seeds and test set"}


def test_no_p_value_is_called_chance(tmp_path: Path) -> None:
    text = (Path(page.__file__).parent / "index.html.j2").read_text("utf-8")
    assert "that this is chance" not in text
    assert "p" not in leaderboard(read_results(sweep().write(tmp_path)))


def test_importance_of_few_trials_is_not_shown(tmp_path: Path) -> None:
    """Before: `lr 99 %` was computed from two trials."""
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=19)
    files.cells["cnn-mnist-quick"]["importance"] = {"a": 0.2, "b": 0.8}
    assert importance(read_results(files.write(tmp_path))).empty
