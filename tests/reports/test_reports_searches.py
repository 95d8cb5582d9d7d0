"""Tests the sentences on the search for hyper-parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from reports.build import build
from reports.formats import tex
from reports.results import read_results
from reports.searches import search_sentences
from reports.terminal_tables import show
from tests.reports.results_folder import sweep

FIXED = "the published recipe's, but for what the profile sets, without a search"
HEAD = "In profile quick, each trained variant's hyper-parameters for classification are"


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        (0, FIXED),
        (1, "those of a single trial on validation data"),
        (2, "the better of 2 trials on validation data"),
        (4, "the best of 4 trials on validation data"),
    ],
)
def test_a_sentence_says_how_many_trials_there_were(tmp_path: Path, trials: int, said: str) -> None:
    root = sweep(trials=trials).write(tmp_path)
    assert search_sentences(read_results(root)) == [f"{HEAD} {said}."]


def test_each_task_and_profile_has_a_sentence(tmp_path: Path) -> None:
    files = sweep(trials=2)
    for other in (
        sweep(variants=("tlb",), task="prediction", trials=3),
        sweep(profile="published", trials=0),
    ):
        files.add(other)
    said = search_sentences(read_results(files.write(tmp_path)))
    assert sorted(sentence.partition(" are ")[0] for sentence in said) == [
        "In profile published, each trained variant's hyper-parameters for classification",
        "In profile quick, each trained variant's hyper-parameters for classification",
        "In profile quick, each trained variant's hyper-parameters for prediction",
    ]


def test_different_numbers_of_trials_are_a_range(tmp_path: Path) -> None:
    files = sweep(trials=4)
    files.cells["linear-usps-quick"]["states"] = {"complete": 2, "pruned": 1, "fail": 0}
    root = files.write(tmp_path)
    assert search_sentences(read_results(root)) == [
        f"{HEAD} the best of 3 to 4 trials on validation data."
    ]


def test_cells_without_a_search_are_named_beside_those_with_one(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear", "kmeans"), datasets=("mnist", "usps"))
    for study in ("cnn-usps-quick", "kmeans-usps-quick"):
        files.cells[study] |= {"trials": [], "best": None, "planned": {"trials": 0, "finals": 3}}
        files.cells[study]["states"] = {"complete": 0, "pruned": 0, "fail": 0}
    for record in files.records.values():  # k-means learns nothing by gradients: it does not count
        if record["spec"]["variant"] == "kmeans":
            record["epochs"] = 0
    assert search_sentences(read_results(files.write(tmp_path))) == [
        f"{HEAD} the best of 4 trials on validation data, except that they are {FIXED}, "
        "of cnn on usps."
    ]


def test_cells_without_a_final_do_not_count(tmp_path: Path) -> None:
    files = sweep(finals=0)
    assert search_sentences(read_results(files.write(tmp_path))) == []


def test_the_terminal_and_the_written_tables_have_the_sentence(tmp_path: Path) -> None:
    results = read_results(sweep(trials=2).write(tmp_path))
    console = Console(width=200, record=True)
    show(results, console)
    sentence = f"{HEAD} the better of 2 trials on validation data."
    assert sentence in console.export_text()
    build(tmp_path, only=("leaderboard",), formats=("markdown", "latex"))
    for suffix in ("md", "tex"):
        text = (tmp_path / "report" / "tables" / f"leaderboard.{suffix}").read_text("utf-8")
        assert (tex(sentence) if suffix == "tex" else sentence) in text
