"""Tests floors: which cells are above them, how the others are marked, and their rows in tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from reports import load
from reports.paper_tables import paper_tables
from reports.results import read_results
from reports.statistics.floor_scores import is_above
from reports.tables import leaderboard
from reports.tables.floor_tables import count_sentences, floors
from reports.terminal_tables import show
from tests.reports.results_folder import FLOORS, Files, sweep


def put(files: Files, study: str, values: Sequence[float], metric: str = "accuracy") -> None:
    """Sets the test scores of a cell's finals."""
    for number, value in enumerate(values):
        files.run(study, "final", number)["metrics"][f"test/{metric}"] = value


def untrained(files: Files, study: str) -> None:
    """Makes a variant one that is not trained by gradients, such as k-means and copy-last."""
    for run_id in (*files.cells[study]["trials"], *files.cells[study]["finals"]):
        files.records[run_id]["epochs"] = 0
        files.records[run_id]["floors"].pop("untrained", None)


def board(files: Files, root: Path) -> pd.DataFrame:
    return leaderboard(read_results(files.write(root))).set_index("variant")


@pytest.mark.parametrize(
    ("bounds", "direction", "above"),
    [
        ((0.45, 0.6), "maximize", False),  # the interval includes the floor
        ((0.55, 0.57), "maximize", True),
        ((0.5, 0.5), "maximize", False),
        ((0.4, 0.45), "maximize", False),
        ((0.4, 0.45), "minimize", True),
        ((0.4, 0.55), "minimize", False),
        ((0.5 + 1e-8, 0.6), "maximize", False),  # equal but for 32-bit rounding
        ((math.nan, math.nan), "maximize", False),
    ],
)
def test_above_means_better_than_the_floor_beyond_the_interval(
    bounds: tuple[float, float], direction: str, above: bool
) -> None:
    assert is_above(bounds, [0.5], direction) is above


def test_above_means_above_every_floor() -> None:
    assert is_above((0.55, 0.65), [0.5, 0.1], "maximize")
    assert not is_above((0.55, 0.65), [0.5, 0.58], "maximize")


def test_with_too_few_seeds_the_test_set_alone_decides(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",), finals=1)
    put(files, "cnn-mnist-quick", [0.13])  # .125 on 2,000 images may be .13 by chance
    put(files, "linear-mnist-quick", [0.2])
    assert list(board(files, tmp_path)["mark"][:2]) == ["too few seeds", "not above floors"]


def test_a_trained_variant_that_is_not_above_its_floors_says_so(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear", "mlp"), datasets=("mnist",))
    put(files, "cnn-mnist-quick", [0.3, 0.6, 0.9])  # best mean, but its interval has the floors
    put(files, "linear-mnist-quick", [0.5, 0.51, 0.52])
    put(files, "mlp-mnist-quick", [0.11, 0.12, 0.11])
    table = board(files, tmp_path)
    assert dict(table["mark"]) == {
        "cnn": "not above floors",
        "linear": "may be best",  # a better mean stands above it
        "mlp": "not above floors",
        "floor: largest class": "",
    }
    assert table.loc["cnn", "behind"] == pytest.approx(-0.09)
    assert table.loc["mlp", "behind"] == pytest.approx(0.51 - 0.34 / 3)


def test_its_own_untrained_network_is_a_floor(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    put(files, "cnn-mnist-quick", [0.5, 0.5, 0.5])
    put(files, "linear-mnist-quick", [0.4, 0.4, 0.4])
    for number, value in enumerate([0.6, 0.7, 0.8]):
        files.run("cnn-mnist-quick", "final", number)["floors"]["untrained"]["accuracy"] = value
    table = board(files, tmp_path)
    assert dict(table["mark"])["cnn"] == "not above floors"
    assert tuple(table.loc["cnn", ["floor_name", "floor", "untrained"]]) == (
        "untrained",
        pytest.approx(0.7),
        pytest.approx(0.7),
    )
    assert tuple(table.loc["linear", ["floor_name", "floor", "mark"]]) == (
        "largest class",
        0.125,
        "may be best",
    )


def test_where_none_is_above_its_floors_none_is_best(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    put(files, "cnn-mnist-quick", [0.125, 0.125, 0.125])
    put(files, "linear-mnist-quick", [0.1, 0.1, 0.1])
    table = board(files, tmp_path)
    assert list(table["mark"][:2]) == ["not above floors"] * 2
    assert table[["behind", "behind_at_most"]].isna().all(axis=None)


def test_a_trivial_answer_as_a_variant_has_the_mark_floor(tmp_path: Path) -> None:
    files = sweep(variants=("convlstm", "copy-last"), datasets=("mnist",), task="prediction")
    put(files, "copy-last-mnist-quick", [FLOORS["prediction"]["last frame"]] * 3, "mse")
    untrained(files, "copy-last-mnist-quick")
    results = read_results(files.write(tmp_path))
    table = leaderboard(results).set_index("variant")
    assert list(table["mark"][:2]) == ["best", "floor"]
    assert count_sentences(results) == [
        "Profile quick: 1 of 1 cells of trained variants are above all their floors."
    ]


def test_an_untrained_variant_above_trivial_answers_is_compared(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "kmeans"), datasets=("mnist",))
    put(files, "kmeans-mnist-quick", [0.3, 0.3, 0.3])
    put(files, "cnn-mnist-quick", [0.31, 0.4, 0.5])
    untrained(files, "kmeans-mnist-quick")
    assert dict(board(files, tmp_path)["mark"])["kmeans"] == "may be best"


def test_floors_stand_after_the_variants_of_their_dataset_best_first(tmp_path: Path) -> None:
    files = sweep(variants=("convlstm", "tlb"), datasets=("mnist", "usps"), task="prediction")
    table = leaderboard(read_results(files.write(tmp_path)))
    assert list(table["kind"]) == ["variant", "variant", "floor", "floor"] * 2
    assert list(table["variant"][2:4]) == ["floor: last frame", "floor: mean image"]
    assert list(table["mean"][2:4]) == [400, 450]
    floor = table.iloc[2]
    assert (floor["seeds"], floor["mark"], floor["data"]) == (0, "", "official")
    assert floor["test_samples"] == 2000
    assert floor[["ci_low", "behind", "behind_at_most", "trials"]].isna().all()


def test_the_table_of_floors_has_each_trivial_answer_once(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    rows = floors(read_results(files.write(tmp_path)))
    assert list(rows[["floor", "variant", "metric", "n"]].itertuples(index=False, name=None)) == [
        ("largest class", "", "accuracy", 3),
        ("untrained", "cnn", "accuracy", 3),
        ("untrained", "cnn", "loss", 3),
        ("untrained", "linear", "accuracy", 3),
        ("untrained", "linear", "loss", 3),
    ]
    assert list(rows["value"][:2]) == [0.125, pytest.approx(0.101)]


def test_a_trivial_answer_that_differs_between_variants_has_a_row_each(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    for number in range(3):
        answers = files.run("cnn-mnist-quick", "final", number)["floors"]
        answers["largest class"]["accuracy"] = 0.25
    results = read_results(files.write(tmp_path))
    rows = floors(results)
    rows = rows[rows["floor"] == "largest class"]
    assert list(zip(rows["variant"], rows["value"], strict=True)) == [
        ("cnn", 0.25),
        ("linear", 0.125),
    ]
    names = list(leaderboard(results)["variant"][2:])
    assert names == ["floor: largest class (cnn)", "floor: largest class (linear)"]


def test_a_floor_of_one_variant_has_the_test_data_of_that_variant(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    for number in range(3):
        record = files.run("cnn-mnist-quick", "final", number)
        record["floors"]["largest class"]["accuracy"] = 0.25
        record["samples"]["test"] = 500
        record["provenance"]["data"]["state"] = "unofficial"
    table = board(files, tmp_path)
    cnn, linear = (table.loc[f"floor: largest class ({name})"] for name in ("cnn", "linear"))
    assert (cnn["test_samples"], cnn["data"]) == (500, "unofficial")
    assert (linear["test_samples"], linear["data"]) == (2000, "official")


def test_results_without_floors_have_their_marks_and_no_count(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    for record in files.records.values():
        record["floors"] = {}
    put(files, "cnn-mnist-quick", [0.05, 0.05, 0.05])
    put(files, "linear-mnist-quick", [0.02, 0.02, 0.02])
    results = read_results(files.write(tmp_path))
    table = leaderboard(results)
    assert list(table["mark"]) == ["best", "worse"]
    assert table[["floor", "untrained"]].isna().all(axis=None)
    assert count_sentences(results) == []


def test_the_count_names_the_others(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear", "kmeans"), datasets=("mnist", "usps", "svhn"))
    put(files, "cnn-svhn-quick", [0.1, 0.1, 0.1])
    put(files, "cnn-usps-quick", [0.1, 0.9, 0.1])
    files.cells["linear-svhn-quick"] |= {"finals": [], "reason": "no trial completed"}
    for number in range(3):
        files.run("linear-usps-quick", "final", number)["floors"] = {}
    for dataset in ("mnist", "usps", "svhn"):
        untrained(files, f"kmeans-{dataset}-quick")
    sentence = (
        "Profile quick: 2 of 6 cells of trained variants are above all their floors. "
        "Not above: cnn on usps, svhn. Without a final: linear on svhn. "
        "Without floors in their records: linear on usps."
    )
    results = read_results(files.write(tmp_path))
    assert count_sentences(results) == [sentence]
    table = load(tmp_path).above_floors().set_index(["variant", "dataset"])["verdict"]
    assert len(table) == 6
    assert table["cnn", "mnist"] == "above"
    assert table["cnn", "usps"] == "not above"
    assert table["linear", "svhn"] == "no final"
    assert table["linear", "usps"] == "no floors"


def test_show_has_floors_their_sign_and_the_count(tmp_path: Path) -> None:
    from rich.console import Console

    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    put(files, "cnn-mnist-quick", [0.125, 0.125, 0.125])
    console = Console(width=80, record=True)
    show(read_results(files.write(tmp_path)), console)
    text = console.export_text()
    assert "† 0.125" in text
    assert "floor: largest class" in text
    assert "2,000 test" in text
    assert "1 of 2 cells of trained variants are above all their floors" in text


def test_show_cuts_no_word_off(tmp_path: Path) -> None:
    from rich.console import Console

    files = sweep(variants=("capsule-transformer", "linear"), datasets=("moving_mnist",))
    for record in files.records.values():
        record["provenance"]["data"]["state"] = "generated from unofficial"
    console = Console(width=80, record=True)
    show(read_results(files.write(tmp_path)), console)
    words = console.export_text().split()
    assert {"capsule-transformer", "moving_mnist", "generated", "unofficial"} <= set(words)


def test_latex_has_floors_last_and_a_dagger(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    put(files, "linear-mnist-quick", [0.12, 0.11, 0.1])
    text = paper_tables(leaderboard(read_results(files.write(tmp_path))))
    *_, cnn, _, linear, _, floor = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert floor.replace(r"\allowbreak{}", "") == r"\raggedright floor: largest class & 12.5 \\"
    assert linear.startswith(r"\raggedright linear")
    assert r"^{\dagger}" in linear
    assert r"^{\dagger}" not in cnn
