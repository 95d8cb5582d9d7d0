"""What a sweep plans, and how its hours follow from a timed step; how fast anything is, is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import profiles, timing
from benchmarks.cli import main
from benchmarks.profiles import Name
from benchmarks.timing import SampleTimes
from sweeps import plan
from sweeps.__main__ import app
from sweeps.options import Options, matrix
from sweeps.sweep import sweep
from tests.sweeps.test_driver import CHOICE


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has every model take a second for a sample in training, a tenth in evaluation."""
    plan._times.cache_clear()
    monkeypatch.setattr(timing, "untrained", lambda *_: None)
    monkeypatch.setattr(timing, "sample_times", lambda *_, **__: SampleTimes(1.0, 0.1))
    yield
    plan._times.cache_clear()


def planned(variant: str, dataset: str, **options: object) -> plan.Row:
    choice = Options(data=Path(), workers=1, **options)
    (row,) = plan.rows(choice, [(variant, dataset)], "cpu")
    return row


@pytest.mark.usefixtures("steady")
def test_hours_follow_from_runs_epochs_and_samples() -> None:
    row = planned("linear", "usps", profile=Name.smoke, trials=3, seeds=2)
    # 128 training samples in one batch, 64 of validation each epoch, 64 of test in a final.
    assert (row.trials, row.finals, row.samples, row.batch) == (3, 2, 128, 128)
    assert row.seconds == pytest.approx(5 * (128 + 6.4) + 2 * 6.4)


@pytest.mark.usefixtures("steady")
def test_bases_and_codes_of_training_data_are_counted() -> None:
    row = planned("ocae", "usps", profile=Name.smoke, trials=1, seeds=2)
    run = 128 + 6.4 + 12.8  # whole batches of 32; codes of 128 training samples
    assert row.bases == 2
    assert row.seconds == pytest.approx((1 + 2 + 2) * run + 2 * 6.4)


@pytest.mark.usefixtures("steady")
def test_published_plans_the_source_s_budget() -> None:
    row = planned("tlb-keras", "cifar10", profile=Name.published)
    assert (row.trials, row.finals, row.budget.epochs) == (0, 3, 30)
    assert (row.samples, row.batch) == (40_000, 2048)
    steps = 40_000 // 2048
    final = 30 * (steps * 2048 + 0.1 * 10_000) + 0.1 * 10_000
    assert row.seconds == pytest.approx(3 * final)
    searching = planned("scae", "mnist", profile=Name.paper, trials=2)
    assert (searching.trials, searching.budget.epochs, searching.samples) == (2, 700, 55_000)


def test_a_dry_run_prints_every_cell_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of all variants are really timed; no data is there, nor asked for."""
    monkeypatch.setattr(timing, "PATIENCE", 0.0)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    run = ["run", "--profile", "smoke", "--dry-run", "--workers", "2", "--results", "results"]
    with pytest.raises(SystemExit) as left:
        main(lambda: app(run))
    assert left.value.code == 0
    told = capsys.readouterr().out
    for variant, dataset in matrix():
        row = rf"^{variant}/{dataset} .*\d +<?\d+\.\d\d *$"
        assert re.search(row, told, re.MULTILINE), told
    assert f"{len(matrix())} cells: " in told
    assert "Not counted: pruning" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("steady")
def test_a_published_sweep_prints_its_plan_and_trains_on_all_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = profiles.load(Name.smoke).budgets
    load = profiles.load

    def loaded(name: Name) -> profiles.Profile:
        return load(name).model_copy(update={"budgets": small, "finals": 1})

    monkeypatch.setattr(profiles, "load", loaded)
    choice = CHOICE.model_copy(update={"profile": Name.published, "trials": None})
    (cell,) = sweep(choice, tmp_path)
    (final,) = cell.finals.values()
    assert (final.status, final.samples.validation, final.samples.train) == ("complete", 0, 128)
    told = capsys.readouterr()
    assert "Plan of profile published" in told.err
    assert re.search(r"^linear/usps +none +1 ", told.err, re.MULTILINE)
    sweep(choice, tmp_path)  # nothing remains
    assert "Plan of" not in capsys.readouterr().err
