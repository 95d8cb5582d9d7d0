"""Tests what the page is made from, without a browser: summary, JSON and libraries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from reports import page
from reports.page import page_data
from reports.page.made_by import made_by
from reports.page.series import POINTS, thinned
from reports.page.summary import summaries
from reports.page.vendored.update import PACKAGES
from reports.ranking import rankings
from reports.results import Results, read_results
from reports.tables import build_tables
from tests.reports.results_folder import sweep

VENDORED = Path(page.__file__).parent / "vendored"


def scored(
    root: Path,
    scores: Mapping[str, Sequence[float]],
    *,
    seconds: dict[str, float] | None = None,
    floors: dict[str, float] | None = None,
    **options: Any,
) -> Results:
    """Makes a sweep on mnist in which variants have these scores, one per seed.

    Others are the seconds and the score of the untrained network, by variant.
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
    """Returns the lead, the sentence on mnist and the one on papers, as texts."""

    def text(pieces: Sequence[str | Sequence[str]]) -> str:
        return "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces)

    (summary,) = summaries([*rankings(results)])
    return text(summary["lead"]), text(summary["datasets"][0]["pieces"]), text(summary["published"])


def test_a_certain_winner_is_named_with_its_lead(tmp_path: Path) -> None:
    scores = {"cnn": [0.97, 0.971, 0.972], "linear": [0.9, 0.901, 0.902]}
    lead, sentence, _ = sentences(scored(tmp_path, scores))
    assert "Certain: cnn on mnist." in lead
    assert sentence.startswith("cnn is best with 97.10 % (95 %: ")
    assert "7.0 points ahead of linear." in sentence
    assert "none within two points of it is cheaper" in sentence
    assert sentence.endswith("Tested on 2,000 of 10,000 test samples, stratified, 3 seeds.")


def test_an_open_race_names_its_rivals(tmp_path: Path) -> None:
    scores = {"cnn": [0.9, 0.92, 0.94], "linear": [0.89, 0.92, 0.93], "vit": [0.3, 0.31, 0.32]}
    lead, sentence, _ = sentences(scored(tmp_path, scores))
    assert "On none is that certain." in lead
    assert "but linear may be best too, 0.7 points behind." in sentence
    assert "vit" not in sentence


def test_two_seeds_make_nothing_certain(tmp_path: Path) -> None:
    _, sentence, _ = sentences(scored(tmp_path, {"cnn": [0.97, 0.97], "linear": [0.9, 0.9]}))
    assert "with fewer than three seeds nothing is certain" in sentence


def test_no_variant_above_its_floors_is_no_winner(tmp_path: Path) -> None:
    lead, sentence, _ = sentences(scored(tmp_path, {"cnn": [0.12, 0.13, 0.12]}))
    assert lead == "No variant is above its floors yet."
    assert "no variant is above its floors: the best mean, 12.3 % of cnn" in sentence
    assert "12.5 % of largest class" in sentence


def test_the_cheapest_within_two_points_is_named(tmp_path: Path) -> None:
    scores = {"cnn": [0.97] * 3, "vit": [0.955] * 3, "tlb": [0.951] * 3, "linear": [0.94] * 3}
    seconds = {"cnn": 90.0, "vit": 30.0, "tlb": 20.0, "linear": 1.0}
    _, sentence, _ = sentences(scored(tmp_path, scores, seconds=seconds))
    assert "It takes 90 s per run; cheapest within two points: tlb, 95.1 % in 20 s." in sentence


def test_a_cheap_variant_that_learned_nothing_is_not_the_cheapest(tmp_path: Path) -> None:
    scores, seconds = {"cnn": [0.97] * 3, "linear": [0.96] * 3}, {"cnn": 90.0, "linear": 1.0}
    results = scored(tmp_path, scores, seconds=seconds, floors={"linear": 0.965})
    _, sentence, _ = sentences(results)
    assert "none within two points of it is cheaper" in sentence


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("quick", "None of these can be compared: profile quick trains less than papers do"),
        ("paper", "capsnet on mnist 99.0 % here, 99.75 % published (0.8 points worse)"),
    ],
)
def test_a_distance_to_a_paper_is_measured_only_where_the_budget_is_the_papers(
    tmp_path: Path, profile: str, words: str
) -> None:
    results = scored(tmp_path, {"capsnet": [0.99] * 3}, profile=profile)
    _, _, published = sentences(results)
    assert words in published
    assert ("points worse" in published) == (profile == "paper")


def test_the_date_is_that_of_the_runs_even_in_a_copy(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    files.write(tmp_path)
    for number, run in enumerate(files.cells["cnn-mnist-quick"]["finals"]):
        (tmp_path / "runs" / run / "wandb" / f"offline-run-2026030{1 + number % 2}_101112-x").mkdir(
            parents=True
        )
    facts = dict(made_by(read_results(tmp_path)))
    assert facts["date"] == "2026-03-01 to 2026-03-02"
    assert facts["code"] == "0123456789ab"
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
