"""Tests the plan of a sweep, and how its hours follow from timed steps; speed itself is not
tested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands.cli import main
from benchmarks.metrics import PROBE_SAMPLES
from benchmarks.specs import profiles
from benchmarks.specs.profiles import ProfileName
from benchmarks.speed import timing
from benchmarks.speed.timing import SampleTimes
from models import registry
from models.variant import ImageShape
from sweeps import plan
from sweeps.__main__ import app
from sweeps.estimates import run_times
from sweeps.matrix import list_cells
from sweeps.options import Options
from sweeps.studies.study_configuration import Sampler
from sweeps.sweep import sweep
from tests.narrowing import present
from tests.sweeps.test_cell import opened
from tests.sweeps.test_driver import CHOICE


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has every model take a second for a sample in training, a tenth in evaluation."""
    run_times.cached_sample_times.cache_clear()
    monkeypatch.setattr(timing, "untrained_model", lambda *_: None)
    monkeypatch.setattr(timing, "sample_times", lambda *_, **__: SampleTimes(1.0, 0.1))
    yield
    run_times.cached_sample_times.cache_clear()


def planned(
    variant: str, dataset: str, start: Sequence[dict[str, Any]] = (), **options: object
) -> plan.PlannedCell:
    choice = Options(data=Path(), workers=1, **options)
    points = {f"{variant}/{dataset}": list(start)}
    (row,) = plan.plan_cells(choice, [(variant, dataset)], points, "cpu")
    return row


@pytest.mark.usefixtures("steady")
def test_hours_follow_from_runs_epochs_and_samples() -> None:
    row = planned("linear", "usps", profile=ProfileName.smoke, trials=3, finals=2)
    # 128 training samples in one batch, 64 of validation each epoch; a final tests 64 before its
    # first step, too.
    assert (row.trials, row.finals, row.samples, row.batch) == (3, 2, 128, 128)
    assert row.seconds == pytest.approx(5 * (128 + 6.4) + 2 * 2 * 6.4)


@pytest.mark.usefixtures("steady")
def test_bases_and_codes_of_training_data_are_counted() -> None:
    row = planned("ocae", "usps", profile=ProfileName.smoke, trials=1, finals=2)
    run = 128 + 6.4 + 12.8  # whole batches of 32; codes of 128 training samples
    assert row.bases == 2
    # Before its first step a final is tested, by probes of its own.
    assert row.seconds == pytest.approx((1 + 2 + 2) * run + 2 * (2 * 6.4 + 12.8))


@pytest.mark.usefixtures("steady")
def test_without_validation_data_probes_are_fitted_at_the_tests_alone() -> None:
    row = planned("pcae", "usps", profile=ProfileName.published, finals=1)
    assert (row.budget.epochs, row.budget.validation_samples) == (3000, 0)
    trained = 3000 * (7291 // 128 * 128)
    assert row.seconds == pytest.approx(trained + 0.1 * (2 * 2007 + 2 * 7291))


@pytest.mark.usefixtures("steady")
def test_validations_encode_a_part_of_many_training_samples_and_the_test_all() -> None:
    row = planned("pcae", "mnist", profile=ProfileName.standard, trials=1, finals=1)
    trained = 55_000 // 128 * 128
    trial = 10 * (trained + 0.1 * (5_000 + PROBE_SAMPLES))
    final = trial + 0.1 * (2 * 10_000 + 2 * 55_000)
    assert row.seconds == pytest.approx(trial + final)


@pytest.mark.usefixtures("steady")
def test_what_no_gradients_train_is_tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "sample_times", lambda *_, **__: SampleTimes(0.0, 0.1))
    row = planned("kmeans", "usps", profile=ProfileName.smoke, trials=0, finals=1)
    assert row.seconds == pytest.approx(6.4 + 12.8 + 6.4)


@pytest.mark.usefixtures("steady")
def test_points_of_no_probes_are_not_coded() -> None:
    row = planned("ccae", "constellations", profile=ProfileName.smoke, trials=1, finals=1)
    run = 128 + 6.4
    assert row.seconds == pytest.approx(2 * run + 2 * 6.4)


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("trials", [0, 2])
@pytest.mark.parametrize("name", [ProfileName.smoke, ProfileName.published])
def test_a_plan_counts_the_runs_that_the_cell_makes(
    name: ProfileName, trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = profiles.load_profile(name).model_copy(
        update={"budgets": profiles.load_profile(ProfileName.smoke).budgets}
    )
    monkeypatch.setattr(profiles, "load_profile", lambda _: small)
    row = planned("ocae", "usps", profile=name, trials=trials, finals=2)
    with opened(tmp_path, "ocae", small, trials=trials) as cell:
        assert row.trials + row.finals + row.bases == cell.planned
    # Trials of `published` need validation data, so their base is no final's.
    assert row.bases == (3 if name is ProfileName.published and trials else 2)


@pytest.mark.usefixtures("steady")
def test_a_plan_has_a_trial_for_every_start_point() -> None:
    start = [{"lr": 0.02}, {"lr": 0.003}, {"lr": 0.02}]
    assert (
        planned("linear", "usps", start, profile=ProfileName.smoke).trials == 3
    )  # one point is twice
    assert planned("linear", "usps", start, profile=ProfileName.smoke, trials=7).trials == 7
    assert planned("linear", "usps", profile=ProfileName.smoke).trials == 2
    grid = planned(
        "linear", "usps", start, profile=ProfileName.smoke, trials=99, sampler=Sampler.grid
    )
    assert grid.trials < 99
    assert planned("kmeans", "usps", [{}], profile=ProfileName.smoke).trials == 1


@pytest.mark.usefixtures("steady")
def test_published_plans_the_source_s_budget() -> None:
    row = planned("tlb-keras", "cifar10", profile=ProfileName.published)
    assert (row.trials, row.finals, row.budget.epochs) == (0, 3, 30)
    assert (row.samples, row.batch) == (40_000, 2048)
    steps = 40_000 // 2048
    final = 30 * (steps * 2048 + 0.1 * 10_000) + 2 * 0.1 * 10_000
    assert row.seconds == pytest.approx(3 * final)
    searching = planned("scae", "mnist", profile=ProfileName.paper, trials=2)
    assert (searching.trials, searching.budget.epochs, searching.samples) == (2, 700, 55_000)


def test_a_dry_run_prints_every_cell_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of all variants are timed; there is no data, and none is looked for."""
    monkeypatch.setattr(timing, "PATIENCE", 0.0)
    monkeypatch.setattr(timing, "CALLS", 1)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    run = ["run", "--profile", "smoke", "--dry-run", "--workers", "2", "--results", "results"]
    with pytest.raises(SystemExit) as left:
        main(lambda: app(run))
    assert left.value.code == 0
    printed = capsys.readouterr().out
    for variant, dataset in list_cells():
        row = rf"^{variant}/{dataset} .*\d +<?\d+\.\d\d *$"
        assert re.search(row, printed, re.MULTILINE), printed
    assert f"{len(list_cells())} cells: " in printed
    assert "Not included: pruning" in printed
    assert not list(tmp_path.iterdir())


def test_a_network_with_batch_norm_is_timed_on_images_of_8_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its last maps have one value per image, and batch norm cannot train on a single value."""
    monkeypatch.setattr(timing, "PATIENCE", 0.0)
    monkeypatch.setattr(timing, "CALLS", 1)
    shape = ImageShape(1, 8, 8, 10)
    model = timing.untrained_model(
        "cnn", shape, registry.variant("cnn").Config.model_validate({"width": 2})
    )
    times = timing.sample_times(model, shape, batch_size=32, threads=1)
    assert times.training >= 0
    assert times.evaluation >= 0


@pytest.mark.usefixtures("steady")
def test_a_published_sweep_prints_its_plan_and_trains_on_all_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = profiles.load_profile(ProfileName.smoke).budgets
    load = profiles.load_profile

    def loaded(name: ProfileName) -> profiles.Profile:
        return load(name).model_copy(update={"budgets": small, "finals": 1})

    monkeypatch.setattr(profiles, "load_profile", loaded)
    choice = CHOICE.model_copy(update={"profile": ProfileName.published, "trials": None})
    (cell,) = sweep(choice, tmp_path)
    (final,) = cell.finals.values()
    assert (final.status, present(final.samples).validation, present(final.samples).train) == (
        "complete",
        0,
        128,
    )
    printed = capsys.readouterr()
    assert "Plan of profile published" in printed.err
    assert re.search(r"^linear/usps +none +1 ", printed.err, re.MULTILINE)
    sweep(choice, tmp_path)  # nothing remains
    assert "Plan of" not in capsys.readouterr().err
