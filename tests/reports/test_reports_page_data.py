"""Tests the content of the page without a browser: summary, JSON and libraries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.record import DataState
from models import registry
from reports import page
from reports.page import page_data, run_rows
from reports.page.budgets import budget_sentences
from reports.page.glossary import words
from reports.page.made_by import made_by
from reports.page.series import POINTS, thinned
from reports.page.summary import comparisons, summaries
from reports.page.vendored.update import PACKAGES
from reports.results import Results, read_results
from reports.statistics.aggregates import across
from reports.statistics.ranking import rankings
from reports.tables import build_tables
from tests.narrowing import of_type
from tests.reports.results_folder import fingerprint, sweep

VENDORED = Path(page.__file__).parent / "vendored"


def scored(
    root: Path,
    scores: Mapping[str, Sequence[float]],
    *,
    seconds: dict[str, float] | None = None,
    floors: dict[str, float] | None = None,
    **options: Any,
) -> Results:
    """Makes a sweep on mnist in which variants have the given scores, one per seed.

    Args:
        scores: by variant, one test accuracy per final.
        seconds: by variant, the seconds of its runs; 10 by default.
        floors: by variant, the test accuracy of the untrained network.
    """
    finals = max(map(len, scores.values()))
    files = sweep(variants=tuple(scores), datasets=("mnist",), finals=finals, **options)
    profile = options.get("profile", "quick")
    for variant, values in scores.items():
        for number, value in enumerate(values):
            record = files.run(f"{variant}-mnist-{profile}", "final", number)
            record["metrics"]["test/accuracy"] = value
            record["costs"]["seconds"] = (seconds or {}).get(variant, 10.0)
            if floors and variant in floors:
                record["floors"]["untrained"]["accuracy"] = floors[variant]
    return read_results(files.write(root))


def sentences(results: Results) -> tuple[str, str, str]:
    """Returns the lead, the sentence on mnist, and those on papers with their note, as texts."""

    def text(pieces: Sequence[str | Sequence[str]]) -> str:
        return "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces)

    groups = [*rankings(results)]
    (summary,) = summaries(groups, {})
    papers = [text(figure) for one in comparisons(groups) for figure in one["figures"]]
    notes = [one["note"] for one in comparisons(groups)]
    return summary["lead"], text(summary["datasets"][0]["pieces"]), "; ".join((*notes, *papers))


def test_a_certain_winner_is_named_with_its_lead(tmp_path: Path) -> None:
    scores = {"cnn": [0.97, 0.971, 0.972], "linear": [0.9, 0.901, 0.902]}
    lead, sentence, _ = sentences(scored(tmp_path, scores))
    assert lead == "Best mean above floors: cnn on 1 of 1 dataset. Certain on mnist."
    assert sentence.startswith("cnn is best: 97.10 % (")
    assert sentence.endswith("), 7.0 points ahead of linear.")


def test_an_open_race_names_its_rivals(tmp_path: Path) -> None:
    scores = {"cnn": [0.9, 0.92, 0.94], "linear": [0.89, 0.92, 0.93], "vit": [0.3, 0.31, 0.32]}
    lead, sentence, _ = sentences(scored(tmp_path, scores))
    assert "None is certain." in lead
    assert "May be best, too: linear 0.7 points behind." in sentence
    assert "vit" not in sentence


def test_two_seeds_make_nothing_certain(tmp_path: Path) -> None:
    _, sentence, _ = sentences(scored(tmp_path, {"cnn": [0.97, 0.97], "linear": [0.9, 0.9]}))
    assert "with fewer than three seeds nothing is certain" in sentence


def test_no_variant_above_its_floors_is_no_winner(tmp_path: Path) -> None:
    lead, sentence, _ = sentences(scored(tmp_path, {"cnn": [0.12, 0.13, 0.12]}))
    assert lead == "No variant is above its floors yet."
    assert sentence == (
        "no variant is above its floors; the best mean: cnn (12.3 %; largest class 12.5 %)."
    )


def test_a_better_mean_that_is_not_above_its_floors_is_named(tmp_path: Path) -> None:
    scores = {"cnn": [0.95, 0.96, 0.97], "linear": [0.9, 0.901, 0.902]}
    results = scored(tmp_path, scores, floors={"cnn": 0.965})
    _, sentence, _ = sentences(results)
    assert sentence.startswith("linear leads: ")
    assert sentence.endswith("not certain. Without cnn (96.0 %; untrained 96.5 %).")
    data = page_data(results, build_tables(results))
    cell = data["cells"]["cnn-mnist-quick"]
    assert cell["mark_text"] == "not above 96.5 untrained"
    mark = dict(cell["facts"])["mark"]
    assert mark == "not clearly better than its floors: 96.0 %, the floor 96.5 % (untrained)"


def test_data_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    files = sweep(
        variants=("convlstm", "tlb-frames"), datasets=("mnist", "usps"), task="prediction"
    )
    double = sweep(
        variants=("convlstm", "tlb-frames"), datasets=("moving_mnist",), task="prediction"
    )
    for record in double.records.values():
        record["provenance"]["data"]["sha256"] = fingerprint("mnist")
    files.add(double)
    results = read_results(files.write(tmp_path))
    data = page_data(results, build_tables(results))
    (board,) = data["boards"]
    assert all(row["place"] in (1, 1.5, 2) for row in board["rows"])
    (column,) = (one for one in board["columns"] if one["dataset"] == "moving_mnist")
    assert "the data of mnist again: not counted" in column["tested"]
    (doubles,) = (a.doubles for a in across(results))
    (summary,) = summaries([*rankings(results)], {("prediction", "quick"): doubles})
    assert "of 2 datasets" in summary["lead"]


def test_an_unofficial_copy_is_named_beside_the_dataset(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    for number in range(3):
        data = files.run("cnn-mnist-quick", "final", number)["provenance"]["data"]
        data["state"] = "unofficial"
    results = read_results(files.write(tmp_path))
    (summary,) = summaries([*rankings(results)], {})
    tested = "2,000 of 10,000 test samples, unofficial copy"
    assert summary["datasets"][0]["tested"] == tested


def test_unequal_training_is_said(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    for number in range(3):
        files.run("linear-mnist-quick", "final", number)["samples"]["train"] = 20_000
    results = read_results(files.write(tmp_path))
    (sentence,) = budget_sentences(results)
    assert "(classification: 5,000 to 20,000 samples, 3 epochs)" in sentence
    board = page_data(results, build_tables(results))["tables"]["leaderboard"]
    trained = board["columns"].index("train_samples")
    assert {row[0]: row[trained] for row in board["rows"]} == {
        "cnn": 5000,
        "linear": 20_000,
        "floor: largest class": None,
    }
    assert budget_sentences(read_results(sweep().write(tmp_path / "equal"))) == []


def test_unknown_costs_are_said_and_nothing_takes_no_shade_from_others(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "kmeans", "linear", "vit"), datasets=("mnist",))
    for variant, parameters in (("cnn", 1000), ("kmeans", 0), ("linear", None), ("vit", 4000)):
        for number in range(3):
            record = files.run(f"{variant}-mnist-quick", "final", number)
            record["costs"]["parameters"] = parameters
    results = read_results(files.write(tmp_path))
    cells = page_data(results, build_tables(results))["cells"]
    shown = {cell["variant"]: cell["views"]["parameters"] for cell in cells.values()}
    assert [shown[name]["text"] for name in ("cnn", "kmeans", "linear")] == ["1 k", "0", "unknown"]
    assert (shown["cnn"]["shade"], shown["vit"]["shade"]) == (1.0, 0.0)
    assert shown["kmeans"]["shade"] is None


def test_runs_are_listed_single_ones_first_and_many_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    single = sweep(variants=("vit",), datasets=("usps",), trials=0, finals=1)
    single.cells = {}
    (record,) = single.records.values()
    record["study"] = None
    files.add(single)
    results = read_results(files.write(tmp_path))
    table = page_data(results, build_tables(results))["tables"]["runs"]
    roles = [row[0] for row in table["rows"]]
    assert roles == ["single run"] + ["final"] * 3 + ["trial"] * 4
    first = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert (first["variant"], first["split"], first["metric"]) == ("vit", "test", "accuracy, %")
    assert of_type(float, first["score"]) > 1  # in percent
    assert first["seed"] == str(2**64 - 1)
    monkeypatch.setattr(run_rows, "MOST", 3)
    assert len(page_data(results, build_tables(results))["tables"]["runs"]["rows"]) == 3


def test_every_variant_and_primary_metric_is_in_the_glossary() -> None:
    assert words()["variants"].keys() == registry.available().keys()
    assert {"accuracy", "exact_match", "lin_pred", "mse", "segmentation_accuracy"} <= words()[
        "metrics"
    ].keys()
    assert words()["data"].keys() == {*DataState}


def test_the_cheapest_within_two_points_is_named(tmp_path: Path) -> None:
    scores = {"cnn": [0.97] * 3, "vit": [0.955] * 3, "tlb": [0.951] * 3, "linear": [0.94] * 3}
    seconds = {"cnn": 90.0, "vit": 30.0, "tlb": 20.0, "linear": 1.0}
    _, sentence, _ = sentences(scored(tmp_path, scores, seconds=seconds))
    assert sentence.endswith("Cheaper: tlb, 95.1 % in 20 s per run, not 90 s.")


def test_a_cheap_variant_that_learned_nothing_is_not_the_cheapest(tmp_path: Path) -> None:
    scores, seconds = {"cnn": [0.97] * 3, "linear": [0.96] * 3}, {"cnn": 90.0, "linear": 1.0}
    results = scored(tmp_path, scores, seconds=seconds, floors={"linear": 0.965})
    _, sentence, _ = sentences(results)
    assert "Cheaper" not in sentence


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("quick", "not comparable, since profile quick trains less than papers do"),
        ("paper", ""),
    ],
)
def test_a_figure_of_a_paper_is_called_not_comparable_where_the_budget_is_smaller(
    tmp_path: Path, profile: str, words: str
) -> None:
    results = scored(tmp_path, {"capsnet": [0.99] * 3}, profile=profile)
    _, _, published = sentences(results)
    note, comparison = published.split("; ")
    assert note == words
    assert comparison == "capsnet on mnist: 99.0 % here, 99.75 % published, 0.8 points less"


def test_the_date_is_that_of_the_runs_even_in_a_copy(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.write(tmp_path)
    for number, run in enumerate(files.cells["cnn-mnist-quick"]["finals"]):
        (tmp_path / "runs" / run / "wandb" / f"offline-run-2026030{1 + number % 2}_101112-x").mkdir(
            parents=True
        )
    facts = dict(made_by(read_results(tmp_path)))
    assert facts["runs made"] == "2026-03-01 to 2026-03-02"
    assert facts["code hash"] == "0123456789ab"
    assert "a processor" in facts["machine"]
    assert "5,000 training samples, 4 trials per cell, 3 seeds" in facts["budget"]


def test_no_text_can_end_the_script_that_holds_the_data(tmp_path: Path) -> None:
    attack = "</script><!--<script>&\u2028"
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.run("cnn-mnist-quick", "trial", 0)["spec"]["hyperparameters"]["x"] = attack
    results = read_results(files.write(tmp_path))
    data = page_data(results, build_tables(results))
    text = page._json(data)
    assert not set("<>&") & set(text)
    settings = json.loads(text)["cells"]["cnn-mnist-quick"]["settings"]
    assert dict(settings)["x"].startswith("</script><!--<script>&")


def test_long_curves_are_thinned_and_keep_both_ends() -> None:
    points = list(range(1000))
    kept = thinned(points)
    assert len(kept) == POINTS
    assert kept[0] == 0
    assert kept[-1] == 999
    assert kept == sorted(set(kept))
    assert thinned(points[:5]) == points[:5]


@pytest.mark.parametrize("package", PACKAGES)
def test_libraries_are_the_noted_ones_with_their_licences(package: str) -> None:
    version, member = PACKAGES[package]
    name = member.rpartition("/")[2]
    note = json.loads((VENDORED / "libraries.json").read_text())[name]
    assert (note["package"], note["version"]) == (package, version)
    assert note["sha256"] == hashlib.sha256((VENDORED / name).read_bytes()).hexdigest()
    assert "Permission to use, copy" in (VENDORED / f"{name}.LICENSE").read_text()
    assert name in page.VENDORED


def test_all_scripts_are_in_the_page() -> None:
    scripts = {path.stem for path in (VENDORED.parent / "scripts").glob("*.js")}
    assert scripts == set(page.SCRIPTS)
