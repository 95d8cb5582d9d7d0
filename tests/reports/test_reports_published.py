"""Tests the comparison with published figures: gaps, and differences of the protocols."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.flags import flags
from reports.published import SELECTIONS, gap_interval, published_figures
from reports.results import read_results
from reports.statistics.intervals import estimate
from reports.tables.leaderboard_table import leaderboard
from reports.tables.published_table import published
from tests.reports.results_folder import sweep
from tests.reports.simulated import rates, share


def test_the_published_figure_is_beside_ours_with_the_differences(tmp_path: Path) -> None:
    files = sweep(variants=("capsnet",), datasets=("mnist", "cifar10"), profile="paper")
    for number in range(3):
        files.run("capsnet-mnist-paper", "final", number)["metrics"]["test/accuracy"] = 0.98
    results = read_results(files.write(tmp_path))
    table = leaderboard(results).query("kind == 'variant'").set_index("dataset")
    assert table.loc["mnist", "gap"] == pytest.approx(0.98 - 0.9975)
    assert pd.isna(table["gap"]["cifar10"])
    assert "not comparable" in table["notes"]["cifar10"]
    rows = published(results)
    assert set(rows["dataset"]) == {"mnist", "cifar10"}
    assert "" in set(rows["variant"])  # models that are not in the matrix


def capsnet(root: Path, values: Sequence[float], dataset: str = "mnist") -> pd.Series[Any]:
    """Returns the row of `published` that has capsnet's finals with these accuracies."""
    files = sweep(variants=("capsnet",), datasets=(dataset,), profile="paper")
    for number, value in enumerate(values):
        files.run(f"capsnet-{dataset}-paper", "final", number)["metrics"]["test/accuracy"] = value
    rows = published(read_results(files.write(root)))
    return rows[rows["ours"].notna()].iloc[0]


def test_a_gap_has_an_interval_of_ours_and_theirs_where_theirs_is_known(tmp_path: Path) -> None:
    row = capsnet(tmp_path, [0.98, 0.981, 0.982])
    # theirs: .9975 of 3 runs, standard deviation .00005: ± 4.3027 · .00005 / √3 = .000124; of 2,000
    # test images from .99416 to .99919
    assert (row["n"], row["spread"], row["gap_of"]) == (3, 0.00005, "ours and theirs")
    up, down = math.hypot(0.000124, 0.99919 - 0.9975), math.hypot(0.000124, 0.9975 - 0.99416)
    below, above = row["ours"] - row["ci_low"], row["ci_high"] - row["ours"]
    assert (row["seeds"], row["test_samples"]) == (3, 2000)
    assert row["gap"] == pytest.approx(0.981 - 0.9975)
    assert row["gap_low"] == pytest.approx(row["gap"] - math.hypot(below, up), abs=1e-4)
    assert row["gap_high"] == pytest.approx(row["gap"] + math.hypot(above, down), abs=1e-4)


def test_without_their_spread_the_interval_is_ours_alone_and_says_so(tmp_path: Path) -> None:
    files = sweep(
        variants=("convlstm",), datasets=("moving_mnist",), task="prediction", profile="paper"
    )
    row = published(read_results(files.write(tmp_path))).dropna(subset="ours").iloc[0]
    assert (row["variant"], row["metric"], row["gap_of"]) == ("convlstm", "mse", "ours alone")
    # an error: the low end of the gap is the published figure less the high end of ours
    assert row["gap_low"] == pytest.approx(row["value"] - row["ci_high"])
    assert row["gap_high"] == pytest.approx(row["value"] - row["ci_low"])


def test_where_there_is_no_gap_there_is_no_interval(tmp_path: Path) -> None:
    row = capsnet(tmp_path / "cifar10", [0.6, 0.61, 0.62], "cifar10")
    assert row[["gap", "gap_low", "gap_high"]].isna().all()
    assert row["gap_of"] == ""


@pytest.mark.parametrize("theirs", [3, 5])
@pytest.mark.parametrize("ours", [3, 5, 10])
def test_intervals_of_gaps_cover_what_they_say(tmp_path: Path, ours: int, theirs: int) -> None:
    """Where both err on other images; on the same images they are wider than they need to be."""
    files = sweep(variants=("capsnet",), datasets=("mnist",), profile="paper")
    (cell,) = read_results(files.write(tmp_path)).cells
    draw = np.random.default_rng(ours * theirs)
    a, b = (rates(draw, 800, p, 0.2, n, 2000) for p, n in ((0.97, ours), (0.98, theirs)))
    known = published_figures()[0]
    held = []
    for one, other in zip(a, b, strict=True):
        spread = float(np.std(other.values, ddof=1))
        figure = replace(known, value=other.mean, spread=spread, n=theirs)
        low, high, _ = gap_interval(estimate(one), 2000, cell, figure)
        held.append(low <= 0.97 - 0.98 <= high)
    assert 0.94 <= share(held) <= 0.99


def test_a_smaller_budget_than_the_papers_has_no_gap(tmp_path: Path) -> None:
    row = leaderboard(
        read_results(sweep(variants=("capsnet",), datasets=("mnist",)).write(tmp_path))
    ).iloc[0]
    assert row["published"] == 0.9975
    assert pd.isna(row["gap"])
    assert "profile quick" in row["notes"]


def test_a_stand_in_has_no_gap(tmp_path: Path) -> None:
    files = sweep(variants=("capsnet",), datasets=("mnist",), profile="paper")
    for number in range(3):
        files.run("capsnet-mnist-paper", "final", number)["provenance"]["data"]["state"] = (
            "stand-in"
        )
    results = read_results(files.write(tmp_path))
    assert pd.isna(leaderboard(results)["gap"][0])
    assert any("Stand-in" in flag for flag in flags(results))


def test_every_published_figure_is_whole() -> None:
    for figure in published_figures():
        assert figure.selection in SELECTIONS
        assert figure.source
        assert figure.protocol
        assert math.isfinite(figure.value)
    held = [(p.variant, p.dataset, p.metric) for p in published_figures() if p.variant]
    assert len(held) == len(set(held))


def test_the_figures_of_the_scae_paper_are_there() -> None:
    """LIN-PRED was missing on CIFAR-10 and SVHN."""
    held = {(p.dataset, p.metric) for p in published_figures() if p.variant == "scae"}
    datasets = ("mnist", "svhn", "cifar10")
    assert held == {(dataset, f"lin_{way}") for dataset in datasets for way in ("pred", "match")}


def test_capsnet_on_svhn_is_of_the_whole_training_set() -> None:
    """`small subset` stood there."""
    (figure,) = (p for p in published_figures() if (p.variant, p.dataset) == ("capsnet", "svhn"))
    assert "73,257 images" in figure.protocol


def test_each_source_has_a_year_and_a_link() -> None:
    for figure in published_figures():
        if "the notebook" not in figure.source:  # it has neither
            assert re.search(r"\b(19|20)\d\d:", figure.source), figure.source
            assert re.search(r"arXiv:\d{4}\.\d{5}|\w\.io/\w", figure.source), figure.source


def test_a_figure_of_unknown_many_runs_says_so(tmp_path: Path) -> None:
    row = capsnet(tmp_path, [0.6, 0.61, 0.62], "cifar10")
    assert pd.isna(row["n"])
    assert "number of runs not known" in row["differs"]


def test_generated_test_data_is_named_beside_a_published_figure(tmp_path: Path) -> None:
    files = sweep(variants=("convlstm",), datasets=("moving_mnist",), task="prediction")
    for number in range(3):
        data = files.run("convlstm-moving_mnist-quick", "final", number)["provenance"]["data"]
        data["state"] = "generated from official"
    notes = leaderboard(read_results(files.write(tmp_path)))["notes"][0]
    assert "our test data is generated here" in notes
