"""Tests that a cell decides from records alone which runs remain; nothing is trained here."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.ledger import Planned
from benchmarks.records.spec import RunSpec
from benchmarks.specs.profiles import Profile, ProfileName, load_profile
from sweeps.cells.cell import Cell
from sweeps.cells.cell_specs import CellSpecs
from sweeps.engines import Job
from sweeps.stored_options import load_options
from sweeps.studies import space, storages
from sweeps.studies.proposals import Proposals
from sweeps.studies.study_configuration import Sampler, StudyConfiguration
from sweeps.sweep_status import show_status
from tests.narrowing import present
from tests.tools.growth import recorded

PROFILE = load_profile(ProfileName.smoke).model_copy(update={"lag": 3})
SEEDS = 5
TRIALS = 10


@pytest.fixture
def several_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes all spaces ask for trials of five seeds."""
    load_space = space.load_space

    def with_seeds(*arguments: Any, **named: Any) -> space.Space:
        chosen = load_space(*arguments, **named)
        chosen.configuration = StudyConfiguration(seeds=SEEDS)
        return chosen

    monkeypatch.setattr(space, "load_space", with_seeds)


@contextmanager
def opened(
    results: Path,
    variant: str = "linear",
    profile: Profile = PROFILE,
    trials: int = TRIALS,
    start: Sequence[Mapping[str, Any]] = (),
    sampler: Sampler | None = None,
) -> Iterator[Cell]:
    (results / "cells").mkdir(exist_ok=True)
    with storages.open_storage(results) as storage:
        source = DataSource(results / "no data: stand-ins")
        specs = CellSpecs(
            variant, "usps", profile=profile, source=source, start=start, sampler=sampler
        )
        cell = Cell(specs, Planned(trials=trials, finals=2), results=results, storage=storage)
        cell.write_ledger()
        yield cell


def score(spec: RunSpec) -> float:
    """Computes a score that is best at a learning rate of 0.003; seeds change it less than rates
    do.
    """
    rate = float(spec.hyperparameters["lr"])  # type: ignore[arg-type]
    return 0.9 - 0.3 * abs(math.log10(rate / 3e-3)) + random.Random(spec.seed).uniform(0, 0.02)


def work(cell: Cell, results: Path, workers: int, draw: random.Random, runs: int) -> None:
    """Makes at most `runs` runs, which end in random order; a kill loses the others."""
    running: list[Job] = []
    for _ in range(runs):
        while len(running) < workers and (job := cell.next_job()) is not None:
            running.append(job)
        if not running:
            return
        spec = running.pop(draw.randrange(len(running))).spec
        cell.take_record(recorded(results, spec, [score(spec)], pruned=False))
        cell.store()


def ledger(results: Path, study: str = "linear-usps-smoke") -> dict[str, Any]:
    return json.loads((results / "cells" / f"{study}.json").read_bytes())


def swept(results: Path, workers: int, kills: int = 0) -> dict[str, Any]:
    """Makes a cell with `workers` workers, kills the driver `kills` times, and returns the
    ledger.
    """
    (results / "cells").mkdir(parents=True)
    draw = random.Random(workers)
    for life in range(kills + 1):
        with opened(results) as cell:
            work(cell, results, workers, draw, 8 if life < kills else 1000)
    assert cell.done
    return ledger(results)


@pytest.mark.usefixtures("several_seeds")
def test_trials_over_seeds_are_stopped_alike_by_any_workers_and_after_kills(tmp_path: Path) -> None:
    alone = swept(tmp_path / "alone", workers=1)
    assert swept(tmp_path / "beside", workers=3) == alone
    assert swept(tmp_path / "killed", workers=3, kills=4) == alone
    stopped = alone["states"]["pruned"]
    assert 0 < stopped < TRIALS
    # Wilcoxon's test needs four seeds: what it saves is the fifth.
    assert len(alone["trials"]) == SEEDS * TRIALS - stopped
    assert alone["epochs"] == {"had": 4 * stopped, "saved": stopped}


@pytest.mark.usefixtures("several_seeds")
def test_status_says_how_many_runs_remain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cells").mkdir()
    with opened(tmp_path) as cell:
        work(cell, tmp_path, 1, random.Random(0), SEEDS)
    show_status(tmp_path)
    assert f"{(TRIALS - 1) * SEEDS + 2} runs and" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]",
        '{"planned": {"trials": Infinity, "finals": 2}}',
        '{"planned": {"trials": 1, "finals": 2}, "retries": []}',
    ],
)
def test_a_hostile_file_of_a_results_folder_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "sweep.json").write_text(text)
    (tmp_path / "cells" / "linear-usps-smoke.json").write_text(text)
    with (
        pytest.raises(InputError, match=r"is not a cell's ledger of this version .*: remove it"),
        opened(tmp_path),
    ):
        pass
    with pytest.raises(InputError, match="is not a cell's ledger of this version"):
        show_status(tmp_path)
    with pytest.raises(InputError, match="does not hold a sweep's options"):
        load_options(tmp_path)


RECIPE = {"lr": 1e-3, "weight_decay": 1e-2}
SMALL_SEARCH = load_profile(ProfileName.published).model_copy(update={"budgets": PROFILE.budgets})
"""`published`, with small budgets where a variant has none of its source."""


def searched(spec: RunSpec) -> dict[str, Any]:
    return {name: spec.hyperparameters[name] for name in RECIPE}


def test_what_a_driver_took_and_did_not_store_is_taken_from_the_records(tmp_path: Path) -> None:
    """A driver gives workers their next jobs before it stores results, and may be killed in
    between.
    """
    with opened(tmp_path, trials=3) as cell:
        job = present(cell.next_job())
        cell.take_record(recorded(tmp_path, job.spec, [score(job.spec)], pruned=False))
    with opened(tmp_path, trials=3) as cell:
        assert len(cell.trials) == 0
        work(cell, tmp_path, 1, random.Random(0), 100)
        assert cell.done
    resumed = ledger(tmp_path)
    assert job.spec.run_id == resumed["trials"][0]
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    with opened(undisturbed, trials=3) as cell:
        work(cell, undisturbed, 1, random.Random(0), 100)
    assert resumed == ledger(undisturbed)


def test_without_trials_finals_are_of_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path, trials=0) as cell:
        assert (cell.planned, cell.left, cell.done) == (2, 2, False)
        assert cell.best == (RECIPE, ())  # no trial, and so no score
        jobs = [present(cell.next_job()), present(cell.next_job())]
        assert cell.next_job() is None
        assert [(job.spec.role, searched(job.spec)) for job in jobs] == [("final", RECIPE)] * 2
        cell.take_record(recorded(tmp_path, jobs[0].spec, [0.5], pruned=False))
        cell.store()
    with opened(tmp_path, trials=0) as cell:  # resumed
        assert (cell.left, cell.done) == (1, False)
        work(cell, tmp_path, 1, random.Random(0), 100)
        assert (cell.left, cell.done, cell.failure) == (0, True, None)
    kept = ledger(tmp_path)
    assert (kept["best"], kept["trials"]) == (None, [])
    assert kept["planned"] == {"trials": 0, "finals": 2}
    assert len(kept["finals"]) == 2
    show_status(tmp_path)
    printed = capsys.readouterr().out
    assert "1 of 1 cells done" in printed
    heading, row = printed.splitlines()[:2]
    assert row[heading.index("trials") :].split()[0] == "none"


def test_trials_are_added_to_a_sweep_without_a_search(tmp_path: Path) -> None:
    """The first of them is the recipe; a trial with a worse score changes no final."""
    with opened(tmp_path, trials=0) as cell:
        work(cell, tmp_path, 1, random.Random(0), 100)
    before = ledger(tmp_path)["finals"]
    with opened(tmp_path, trials=1) as cell:
        job = present(cell.next_job())
        assert (job.spec.role, searched(job.spec)) == ("trial", RECIPE)
        cell.take_record(recorded(tmp_path, job.spec, [score(job.spec)], pruned=False))
        assert cell.next_job() is None  # finals are there, and taken
        cell.store()
    kept = ledger(tmp_path)
    assert kept["finals"] == before
    assert kept["best"] == kept["trials"][0]
    with opened(tmp_path, trials=0) as cell:  # a plan never shrinks
        assert cell.trials_wanted == 1


def test_published_trains_on_all_data_and_a_search_added_later_holds_some_out(
    tmp_path: Path,
) -> None:
    held = SMALL_SEARCH.budgets["classification"].validation_samples
    with opened(tmp_path, profile=SMALL_SEARCH, trials=0) as cell:
        assert present(cell.next_job()).spec.budget.validation_samples == 0
    with opened(tmp_path, profile=SMALL_SEARCH, trials=1) as cell:
        trial = present(cell.next_job())
        assert (trial.spec.role, trial.spec.budget.validation_samples) == ("trial", held)
        cell.take_record(recorded(tmp_path, trial.spec, [0.5], pruned=False))
        cell.store()
        final = present(cell.next_job())
        assert (final.spec.role, final.spec.budget.validation_samples) == ("final", 0)


def test_a_base_spends_its_own_variant_s_published_budget(tmp_path: Path) -> None:
    with opened(tmp_path, "ocae", SMALL_SEARCH, trials=0) as cell:
        assert cell.planned == 2 + 2
        job = present(cell.next_job())
    base = job.spec.budget
    assert (job.spec.role, job.spec.variant) == ("base", "pcae")
    assert (base.epochs, base.train_samples, base.validation_samples) == (3000, 7291, 0)
    with opened(tmp_path, "ocae", SMALL_SEARCH, trials=2) as cell:
        assert cell.planned == 2 + 2 + 3  # trials are built on a base with data held out
        assert present(cell.next_job()).spec.budget.train_samples == 7291 - 64


def test_a_study_begins_with_the_recipe_and_the_points_given(tmp_path: Path) -> None:
    points = [{"lr": 5e-3}, {"lr": 1e-3}, {"weight_decay": 1e-4}]
    with opened(tmp_path, start=points) as cell:
        jobs = [present(cell.next_job()) for _ in range(3)]
    assert [searched(job.spec) for job in jobs] == [
        RECIPE,
        {**RECIPE, "lr": 5e-3},
        {**RECIPE, "weight_decay": 1e-4},
    ]
    with pytest.raises(InputError, match="begun with other start"), opened(tmp_path):
        pass
    with opened(tmp_path, start=points):
        pass


def enqueue(results: Path, point: dict[str, Any]) -> None:
    """Enqueues a trial as optuna-dashboard does."""
    with storages.open_storage(results) as storage:
        optuna.load_study(storage=storage, study_name="linear-usps-smoke").enqueue_trial(point)


def test_enqueued_points_are_tried_also_once_all_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path, trials=4) as cell:
        work(cell, tmp_path, 1, random.Random(0), 2)
        enqueue(tmp_path, {"lr": 3e-3})
        enqueue(tmp_path, {"lr": 1e9})
        work(cell, tmp_path, 1, random.Random(0), 100)
        assert cell.done
        assert cell.trials_wanted == 4
        assert [t.params["lr"] for t in cell.trials].index(3e-3) == 3  # 2 was proposed before
    assert "cannot try the enqueued trial 3 (lr not in its space)" in capsys.readouterr().err
    enqueue(tmp_path, {"lr": 2.9e-3})
    with opened(tmp_path, trials=4) as cell:
        assert not cell.done
        assert cell.trials_wanted == 5
        work(cell, tmp_path, 1, random.Random(0), 100)
        assert cell.done
        assert cell.trials[4].params["lr"] == 2.9e-3
    kept = ledger(tmp_path)
    assert kept["planned"]["trials"] == len(kept["trials"]) == 5
    with opened(tmp_path, trials=4) as cell:
        assert cell.done
        assert cell.next_job() is None


@pytest.mark.parametrize("sampler", [Sampler.tpe, Sampler.cmaes, Sampler.grid])
def test_an_enqueued_point_puts_off_what_is_proposed_and_a_resumed_cell_agrees(
    sampler: Sampler, tmp_path: Path
) -> None:
    with opened(tmp_path, trials=12, sampler=sampler) as cell:
        work(cell, tmp_path, 1, random.Random(0), 1)
        enqueue(tmp_path, {"lr": 3e-3})
        work(cell, tmp_path, 3, random.Random(0), 5)
    with opened(tmp_path, trials=12, sampler=sampler) as cell:
        work(cell, tmp_path, 1, random.Random(0), 100)
        assert cell.done
        tried = [tuple(t.params.values()) for t in cell.trials]
        rates = [t.params["lr"] for t in cell.trials]
    assert tried[0] == tuple(RECIPE.values())
    assert rates.count(3e-3) == 1
    assert len(set(tried)) == len(tried) == 12


def test_results_of_others_change_no_proposal(tmp_path: Path) -> None:
    proposed = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        with opened(tmp_path / place) as cell:
            work(cell, tmp_path / place, 1, random.Random(0), 4)
        if place == "b":
            with storages.open_storage(tmp_path / place) as storage:
                study = optuna.load_study(storage=storage, study_name="linear-usps-smoke")
                study.optimize(lambda t: t.suggest_float("lr", 1e-5, 1e-1, log=True), n_trials=3)
        with opened(tmp_path / place) as cell:
            work(cell, tmp_path / place, 1, random.Random(0), 100)
            assert cell.done
            proposed.append([t.params for t in cell.trials])
    assert proposed[0] == proposed[1]


def run_all(results: Path, failing: int | None = None, trials: int = TRIALS) -> list[str]:
    """Makes all runs of a cell; one trial fails. Returns the ids of the runs."""
    (results / "cells").mkdir(parents=True, exist_ok=True)
    made = []
    with opened(results, trials=trials) as cell:
        while (job := cell.next_job()) is not None:
            fails = failing is not None and job.spec == cell.specs.trial(failing, params_of(job))
            reason = "its worker died 3 times" if fails else None
            scores = [] if fails else [score(job.spec)]
            cell.take_record(recorded(results, job.spec, scores, reason=reason))
            cell.store()
            made.append(job.spec.run_id)
        cell.store()  # what had a record already
        assert cell.done
    return made


def params_of(job: Job) -> dict[str, Any]:
    return {name: job.spec.hyperparameters[name] for name in RECIPE}


def stored(results: Path) -> list[tuple[object, ...]]:
    with storages.open_storage(results) as storage:
        study = optuna.load_study(storage=storage, study_name="linear-usps-smoke")
        return [(t.state, t.values, t.params, t.user_attrs["run_ids"]) for t in study.trials]


def test_a_study_has_the_finals_test_scores_for_dashboards(tmp_path: Path) -> None:
    with opened(tmp_path, trials=1) as cell:
        work(cell, tmp_path, 1, random.Random(0), 100)
    with storages.open_storage(tmp_path) as storage:
        notes = optuna.load_study(storage=storage, study_name="linear-usps-smoke").user_attrs
    for run_id in ledger(tmp_path)["finals"]:
        record = RunFolder(tmp_path, run_id).read()
        assert record is not None
        assert notes[f"final runs/{run_id}"] == {"test/accuracy": record.metrics["test/accuracy"]}


FAILING = 2


@pytest.mark.parametrize("database_lost", [False, True])
def test_the_study_follows_a_failed_run_that_was_re_run_with_success(
    database_lost: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Study and ledger then equal those of a sweep without a failure, with and without the
    database.
    """
    run_all(tmp_path / "undisturbed")
    results = tmp_path / "disturbed"
    run_all(results, failing=FAILING)
    failed = ledger(results)["trials"][FAILING]
    assert ledger(results)["states"]["fail"] == 1
    shutil.rmtree(results / "runs" / failed)
    if database_lost:
        (results / "studies.db").unlink()
    capsys.readouterr()
    run_all(results)
    assert ledger(results) == ledger(tmp_path / "undisturbed")
    assert stored(results) == stored(tmp_path / "undisturbed")
    again = TRIALS - FAILING - PROFILE.lag
    sentence = f"the study is rewritten, and its last {again} trials are proposed again"
    assert (sentence in capsys.readouterr().err) == (not database_lost)
    assert run_all(results) == []  # nothing remains, and nothing is said
    assert capsys.readouterr().err == ""


def test_a_re_run_with_an_equal_result_changes_neither_study_nor_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler proposes nothing again, because another version could propose other trials."""
    run_all(tmp_path)
    before, study = ledger(tmp_path), stored(tmp_path)
    for lost in (before["trials"][0], before["trials"][-1], before["best"]):
        shutil.rmtree(tmp_path / "runs" / lost, ignore_errors=True)
    monkeypatch.setattr(Proposals, "propose", None)
    with opened(tmp_path):  # interrupted at once
        pass
    kept = ledger(tmp_path)
    assert kept.pop("left") > 0
    assert kept == {name: value for name, value in before.items() if name != "left"}
    run_all(tmp_path)
    assert (ledger(tmp_path), stored(tmp_path)) == (before, study)


@pytest.mark.parametrize("step", ["add_trials", "delete_study", "copy_study"])
def test_a_rewriting_that_a_crash_cuts_off_loses_no_trial_of_others(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(tmp_path, failing=0)
    with storages.open_storage(tmp_path) as storage:
        study = optuna.load_study(storage=storage, study_name="linear-usps-smoke")
        study.optimize(lambda t: t.suggest_float("lr", 1e-5, 1e-1, log=True), n_trials=1)
    enqueue(tmp_path, {"lr": 3e-3})
    shutil.rmtree(tmp_path / "runs" / ledger(tmp_path)["trials"][0])

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study if step == "add_trials" else optuna, step, killed)
        with pytest.raises(KeyboardInterrupt):
            run_all(tmp_path)
    run_all(tmp_path)
    with storages.open_storage(tmp_path) as storage:
        names = optuna.get_all_study_names(storage)
        study = optuna.load_study(storage=storage, study_name="linear-usps-smoke")
        trials = study.trials
    assert names == ["linear-usps-smoke"]
    assert len([t for t in trials if "run_ids" not in t.user_attrs]) == 1
    assert [t.params["lr"] for t in trials].count(3e-3) == 1
    assert not [t for t in trials if t.state == optuna.trial.TrialState.WAITING]
    assert ledger(tmp_path)["states"] == {"complete": TRIALS, "pruned": 0, "fail": 0}


@pytest.mark.parametrize("before", [0, 1])
def test_an_enqueued_point_keeps_its_trial_when_the_study_is_rewritten(
    before: int, tmp_path: Path
) -> None:
    """This holds if its own trial had failed, and if the trial before it had failed."""
    with opened(tmp_path, trials=4) as cell:
        work(cell, tmp_path, 1, random.Random(0), 1)
        enqueue(tmp_path, {"lr": 3e-3})
        cell.store()
        work(cell, tmp_path, 1, random.Random(0), 100)
        number = [t.params["lr"] for t in cell.trials].index(3e-3)
        tried, failing = cell.trials[number], number - before
        spec = cell.specs.trial(failing, cell.trials[failing].params)
    for state in ("FAIL", "COMPLETE"):
        shutil.rmtree(tmp_path / "runs" / spec.run_id)
        if state == "FAIL":
            recorded(tmp_path, spec, [], reason="its worker died 3 times")
        run_all(tmp_path, trials=4)
        with storages.open_storage(tmp_path) as storage:
            study = optuna.load_study(storage=storage, study_name="linear-usps-smoke")
            found = [t for t in study.trials if t.params.get("lr") == 3e-3]
            (run,) = [t for t in study.trials if t.user_attrs["run_ids"] == [spec.run_id]]
        assert [t.user_attrs["run_ids"] for t in found] == [tried.user_attrs["run_ids"]]
        assert run.state.name == state
        assert len(study.trials) == 4


def test_a_base_that_is_damaged_when_all_is_done_is_re_run(tmp_path: Path) -> None:
    with opened(tmp_path, "ocae", SMALL_SEARCH, trials=0) as cell:
        while (job := cell.next_job()) is not None:
            cell.take_record(recorded(tmp_path, job.spec, [0.5]))
            cell.store()
        assert cell.done
    study = "ocae-usps-published"
    before = ledger(tmp_path, study)
    (tmp_path / "runs" / before["bases"][1] / "record.json").write_text("")
    with opened(tmp_path, "ocae", SMALL_SEARCH, trials=0) as cell:
        job = present(cell.next_job())
        assert job.spec.run_id == before["bases"][1]
        assert cell.next_job() is None
        cell.take_record(recorded(tmp_path, job.spec, [0.5]))
        cell.store()
    assert ledger(tmp_path, study) == before
