"""Tests aggregates over datasets: anchors, equal datasets, and the coverage of intervals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.results import read_results
from reports.statistics.aggregates import Error, across, skill
from reports.statistics.intervals import SeedScores
from reports.tables.dataset_ranks import ranks
from tests.reports.results_folder import Files, sweep
from tests.reports.simulated import errors, share

DATASETS = ("mnist", "usps", "svhn")


def found(files: Files, root: Path) -> pd.DataFrame:
    return ranks(read_results(files.write(root))).set_index("variant")


def test_skill_is_the_share_of_a_trivial_answers_error_that_is_taken_away(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist", "usps"))
    for dataset, value in (("mnist", 1.0), ("usps", 0.5625)):
        for number in range(3):
            final = files.run(f"cnn-{dataset}-quick", "final", number)
            final["metrics"]["test/accuracy"] = value
            final["floors"] = {"largest class": {"accuracy": 0.125}, "untrained": {"accuracy": 0.9}}
    # The error of the trivial answer is 0.875; that of cnn is 0 on mnist, and half of it on usps.
    assert found(files, tmp_path).loc["cnn", "skill"] == pytest.approx(0.75)


def test_a_trivial_answer_has_no_skill_and_a_worse_one_less() -> None:
    assert skill([Error(errors_of(400), 400.0)]).mean == 0
    assert skill([Error(errors_of(600), 400.0)]).mean == -0.5
    assert skill([Error(errors_of(0), 400.0)]).mean == 1


def errors_of(value: float) -> SeedScores:
    return errors(np.random.default_rng(0), 1, value, 0, 3)[0]


def test_a_skill_does_not_depend_on_the_other_variants(tmp_path: Path) -> None:
    """Before: one more bad variant moved the interquartile mean of another from 0.000 to 0.890."""
    few = sweep(variants=("cnn", "linear"), datasets=DATASETS)
    many = sweep(variants=("cnn", "linear", "bad"), datasets=(*DATASETS, "cifar10"))
    for variant in ("cnn", "linear"):
        del many.cells[f"{variant}-cifar10-quick"]
    one, other = found(few, tmp_path / "few"), found(many, tmp_path / "many")
    columns = ["datasets", "skill", "skill_low", "skill_high", "skill_of"]
    assert one[columns].equals(other.loc[["cnn", "linear"], columns].loc[one.index])
    assert list(other["of"]) == [4, 4, 4]
    assert "does not cover" in other["note"]["cnn"]


def test_datasets_of_one_fingerprint_count_once(tmp_path: Path) -> None:
    """In prediction, mnist and moving_mnist are the same sequences, so five datasets are four."""
    files = sweep(
        variants=("convlstm", "tlb"), datasets=("mnist", "moving_mnist", "usps"), task="prediction"
    )
    for study, cell in files.cells.items():
        if "moving" in study:
            for run_id in cell["finals"]:
                same = files.run(study.replace("moving_mnist", "mnist"), "final", 0)
                files.records[run_id]["provenance"]["data"] = same["provenance"]["data"]
    table = found(files, tmp_path)
    assert list(table["of"]) == [2, 2]
    assert table["note"].str.contains("moving_mnist has the data of mnist").all()
    (one,) = across(read_results(tmp_path))
    assert one.datasets == ("mnist", "usps")
    assert one.ranks.datasets == 2


def test_two_seeds_have_no_interval(tmp_path: Path) -> None:
    table = found(sweep(variants=("cnn", "linear"), finals=2), tmp_path)
    assert table["skill"].notna().all()
    assert table[["skill_low", "skill_high"]].isna().all(axis=None)
    assert set(table["skill_of"]) == {"too few seeds"}


def test_without_trivial_answers_there_is_no_skill(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"))
    for record in files.records.values():
        record["floors"] = {}
    table = found(files, tmp_path)
    assert table["skill"].isna().all()
    assert set(table["skill_of"]) == {"no trivial answer in the records"}


def test_deterministic_variants_have_no_spread() -> None:
    fixed = errors_of(600)
    scores = type(fixed)(fixed.values, "mse", 0, True)
    assert skill([Error(scores, 400.0)]).of == "deterministic"
    assert math.isnan(skill([Error(scores, 400.0)]).low)


def test_a_skill_without_any_mistake_has_an_interval() -> None:
    """`too few seeds` stood there."""
    found = skill([Error(SeedScores((1.0, 1.0, 1.0), "accuracy", 64), 0.875)])
    assert (found.mean, found.high, found.of) == (1.0, 1.0, "seeds and test set")
    # of 64 images up to 3.69 (5.6 %) may be wrong, in one of 40 tables: 1 - .0560 / .875
    assert found.low == pytest.approx(1 - 0.05601 / 0.875, abs=1e-4)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_of_skills_of_errors_cover_what_they_say(seeds: int) -> None:
    """The bootstrap's covered 71 % with two seeds, and 82 % with three."""
    draw = np.random.default_rng(seeds)
    spreads = (0.02, 0.02, 0.05, 0.1)
    of_errors = zip(*(errors(draw, 2500, 150, s, seeds) for s in spreads), strict=True)
    skills = [skill([Error(scores, 200.0) for scores in row]) for row in of_errors]
    assert share([one.low <= 0.25 <= one.high for one in skills]) == pytest.approx(0.95, abs=0.025)
    assert all(one.high < 1 for one in skills)
