"""Tests the comparison with published figures: gaps, and differences of the protocols."""

import math

import pandas as pd
import pytest
from results_folder import sweep

from reports.flags import flags
from reports.published import SELECTIONS, published_figures
from reports.results import read_results
from reports.tables.leaderboard_table import leaderboard
from reports.tables.published_table import published


def test_the_published_figure_is_beside_ours_with_the_differences(tmp_path):
    files = sweep(variants=("capsnet",), datasets=("mnist", "cifar10"), profile="paper")
    for number in range(3):
        files.run("capsnet-mnist-paper", "final", number)["metrics"]["test/accuracy"] = 0.98
    results = read_results(files.write(tmp_path))
    table = leaderboard(results).query("kind == 'variant'").set_index("dataset")
    assert table.loc["mnist", "gap"] == pytest.approx(0.98 - 0.9975)
    assert pd.isna(table.loc["cifar10", "gap"])
    assert "not comparable" in table.loc["cifar10", "notes"]
    rows = published(results)
    assert set(rows["dataset"]) == {"mnist", "cifar10"}
    assert "" in set(rows["variant"])  # models that are not in the matrix


def test_a_smaller_budget_than_the_papers_has_no_gap(tmp_path):
    row = leaderboard(
        read_results(sweep(variants=("capsnet",), datasets=("mnist",)).write(tmp_path))
    ).iloc[0]
    assert row["published"] == 0.9975
    assert pd.isna(row["gap"])
    assert "profile quick" in row["notes"]


def test_a_stand_in_has_no_gap(tmp_path):
    files = sweep(variants=("capsnet",), datasets=("mnist",), profile="paper")
    for number in range(3):
        files.run("capsnet-mnist-paper", "final", number)["provenance"]["data"]["state"] = (
            "stand-in"
        )
    results = read_results(files.write(tmp_path))
    assert pd.isna(leaderboard(results)["gap"][0])
    assert any("Stand-in" in flag for flag in flags(results))


def test_every_published_figure_is_whole():
    for figure in published_figures():
        assert figure.selection in SELECTIONS
        assert figure.source
        assert figure.protocol
        assert math.isfinite(figure.value)
    held = [(p.variant, p.dataset, p.metric) for p in published_figures() if p.variant]
    assert len(held) == len(set(held))


def test_generated_test_data_is_named_beside_a_published_figure(tmp_path):
    files = sweep(variants=("convlstm",), datasets=("moving_mnist",), task="prediction")
    for number in range(3):
        data = files.run("convlstm-moving_mnist-quick", "final", number)["provenance"]["data"]
        data["state"] = "generated from official"
    notes = leaderboard(read_results(files.write(tmp_path)))["notes"][0]
    assert "our test data is generated here" in notes
