"""Tests the start points of studies: read from files and from earlier sweeps, and checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.specs.profiles import ProfileName
from models import registry
from sweeps import options
from sweeps.stored_options import load_options
from sweeps.studies import space, start_points
from sweeps.studies.space import Space, contains
from sweeps.sweep import sweep
from tests.narrowing import present
from tests.reports.results_folder import ledger
from tests.sweeps.command_lines import call_here
from tests.sweeps.test_driver import CHOICE

YAML = """
linear/*:
  - {lr: 0.005}
linear/usps:
  - {weight_decay: 0.001}
"""


def read(text: str, folder: Path, name: str = "points.yaml") -> start_points.Points:
    path = folder / name
    path.write_text(text)
    return start_points.read_start_points([path], ProfileName.smoke)


def test_a_file_maps_cells_to_points(tmp_path: Path) -> None:
    found = read(YAML, tmp_path)
    assert found["linear/usps"] == [{"lr": 0.005}, {"weight_decay": 0.001}]
    assert found["linear/mnist"] == [{"lr": 0.005}]
    assert len(found) == 5
    for text in ('{"linear/svhn": [{"lr": 1e-3}]}', "linear/svhn: [{lr: 1e-3}]"):
        assert read(text, tmp_path, "points.json") == {"linear/svhn": [{"lr": 0.001}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("liner/usps: [{lr: 0.1}]", "matches no cell"),
        ("linear/usps: {lr: 0.1}", "must have a list of points"),
        ("linear/usps: [0.1]", "must have a list of points"),
        ("linear/usps: [{lr: [1]}]", "must have a list of points"),
        ("- 1", "must map cells"),
        ("linear/usps: [{lr: 1}]\nlinear/usps: [{lr: 2}]", "the key 'linear/usps' is there twice"),
        ("", "must map cells"),
        ("linear/usps: [{lr", "cannot be read"),
        ("linear/usps: [{lr: 2020-13-45}]", "cannot be read"),
        (f"linear/usps: [{{lr: {'9' * 5000}}}]", "cannot be read"),
        (json.dumps({"a": 1})[:-1] + ', "b": ' + "9" * 5000 + "}", "cannot be read"),
        ("[" * 5000, "nested too deeply"),
        ("- " * 5000 + "1", "nested too deeply"),
        ("linear/usps: [{lr: !!bool many}]", "cannot be read"),
        ("linear/usps: [{lr: !!timestamp never}]", "cannot be read"),
        ("linear/usps: [{lr: !!int ''}]", "cannot be read"),
        (f"{'x' * 500}: [1]", "must have a list of points"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(text, tmp_path)
    assert "--start" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_file_and_a_folder_without_a_sweep_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        start_points.read_start_points([tmp_path / "none.yaml"], ProfileName.smoke)
    with pytest.raises(InputError, match="no cell of this folder has a best trial"):
        start_points.read_start_points([tmp_path], ProfileName.smoke)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"lrr": 0.1}, "no hyper-parameter is called 'lrr': did you mean 'lr'"),
        ({"lr": 10.0}, "linear/usps: lr = 10.0 is outside its range, 0.0003 … 0.03"),
        ({"lr": "many"}, "lr = many is text: write a number as YAML does, such as 1.0e-3"),
        ({"lr": "1e-3"}, "lr = 1e-3 is text: write a number as YAML does, such as 1.0e-3"),
        ({"lr": "2.E4"}, r"such as 2.0e\+4"),
        ({"batch_size": "1e2"}, r"batch_size = 1e2 is text: .* such as 1.0e\+2"),
        ({"lr": 10**400}, "lr = a whole number of 1329 bits is outside its range"),
        ({"lr": -(1 << 20_000)}, "bits is outside its range"),
        ({"lr": math.nan}, "lr = nan is outside its range"),
        ({"batch_size": 1 << 20_000}, "bits cannot be tried"),
        ({"x" * 5000: 1}, "no hyper-parameter is called"),
        ({"lr": True}, "lr = True is outside its range"),
        ({"batch_size": 7}, "batch_size = 7 cannot be tried, as this profile does not search it"),
    ],
)
def test_a_point_that_cannot_be_tried_is_one_sentence_and_begins_nothing(
    point: dict[str, Any], message: str, tmp_path: Path
) -> None:
    choice = CHOICE.model_copy(update={"start": {"linear/usps": [point]}})
    with pytest.raises(InputError, match=message) as caught:
        sweep(choice, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert not list(tmp_path.iterdir())


def test_numbers_too_large_for_a_float_are_outside_ranges_with_steps() -> None:
    ranges = (IntDistribution(2, 10, step=2), FloatDistribution(0.0, 1.0, step=0.25))
    for distribution in ranges:
        assert not contains(distribution, 10**400)
        assert not contains(distribution, math.nan)
    assert contains(ranges[0], 4)
    assert not contains(ranges[0], 5)
    assert contains(ranges[1], 0.75)


def test_what_is_searched_nowhere_ends_its_sentence() -> None:
    chosen = space.load_space("kmeans", registry.variant("kmeans"), ProfileName.smoke)
    with pytest.raises(InputError, match=r"but sets 1: leave it out: it searches nothing$"):
        start_points.check_start_points(chosen, [{"starts": 5}], "kmeans/usps")
    with pytest.raises(InputError, match="starts = True cannot be tried"):
        start_points.check_start_points(chosen, [{"starts": True}], "kmeans/usps")


def conditional() -> Space:
    """Makes a space that searches its second hyper-parameter only if the first is 0.005, unlike
    the recipe.
    """
    chosen = space.load_space("linear", registry.variant("linear"), ProfileName.smoke)
    name, other = list(chosen.distributions)
    recipe: Any = chosen.resolve({})[name]
    chosen.distributions[name] = CategoricalDistribution([recipe, 0.005])
    chosen.conditions[other] = {name: [0.005]}
    return chosen


def test_a_value_whose_condition_does_not_hold_is_refused() -> None:
    chosen = conditional()
    with pytest.raises(InputError, match=r"weight_decay = 0.02 counts only where lr is 0.005: "):
        start_points.check_start_points(chosen, [{"weight_decay": 0.02}], "linear/usps")
    whole = {"weight_decay": 0.02, "lr": 0.005}
    assert start_points.check_start_points(chosen, [whole], "linear/usps") == [whole]


@pytest.mark.parametrize(
    ("options", "planned"),
    [({"trials": 0}, "--trials 0"), ({"profile": ProfileName.published}, "published")],
)
def test_without_a_search_start_points_are_refused(
    options: dict[str, Any], planned: str, tmp_path: Path
) -> None:
    start = {"linear/usps": [{"lr": 0.005}]}
    choice = CHOICE.model_copy(update={"trials": None, **options, "start": start})
    with pytest.raises(InputError, match=f"{planned} plans none: leave --start out"):
        sweep(choice, tmp_path)
    assert not list(tmp_path.iterdir())


def earlier(results: Path, cell: str | dict[str, Any], record: str | None = None) -> Path:
    """Makes a results folder of an earlier sweep with one cell."""
    (results / "cells").mkdir(parents=True)
    text = cell if isinstance(cell, str) else json.dumps(cell)
    (results / "cells" / "linear-usps-smoke.json").write_text(text)
    if record is not None:
        home = results / "runs" / "earlier"
        home.mkdir(parents=True)
        (home / "record.json").write_text(record)
    return results


LEDGER = ledger("linear", "usps", "smoke", best="earlier")
NO_RUNS: list[Any] = [5, ["earlier"], {}, "a\0b", "../..", "/", "", "."]


@pytest.mark.parametrize(
    "cell",
    [
        *({**LEDGER, "best": best} for best in NO_RUNS),
        {**LEDGER, "variant": ["linear"]},
        {"variant": "linear", "dataset": "usps", "best": "earlier"},
        "[" * 100_000,
        '{"best": ' * 5000,
        "[]",
        "5",
        "",
    ],
)
def test_a_damaged_ledger_is_one_sentence(cell: str | dict[str, Any], tmp_path: Path) -> None:
    results = earlier(tmp_path / "results", cell)
    with pytest.raises(InputError, match=r"json is not a cell's ledger of this version \("):
        start_points.read_start_points([results], ProfileName.smoke)


def test_a_record_of_an_earlier_version_gives_its_point(tmp_path: Path) -> None:
    had = {"lr": 0.005, "weight_decay": 0.02, "removed": [1]}
    record = json.dumps({"spec": {"hyperparameters": had, "old": 1}, "metrics": "old"})
    found = start_points.read_start_points(
        [earlier(tmp_path / "results", LEDGER, record)], ProfileName.smoke
    )
    assert found == {"linear/usps": [{"lr": 0.005, "weight_decay": 0.02}]}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"spec": {"hyperparameters": {"lr": 10.0}}}, "lr = 10.0 is outside its range, 0.0003"),
        ({"spec": {"hyperparameters": {"lr": "1e-3"}}}, "lr = 1e-3 is text"),
        ({"spec": {"hyperparameters": {"lr": [[1]]}}}, "lr = [[1]] is outside its range"),
        ({"spec": 5}, "earlier has no record that can be read"),
        (None, "earlier has no record that can be read"),
    ],
)
def test_a_best_trial_that_cannot_be_tried_is_left_out_and_the_others_are_not(
    record: object, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = None if record is None else json.dumps(record)
    results = earlier(tmp_path / "results", LEDGER, text)
    home = results / "runs" / "good"
    home.mkdir(parents=True)
    (home / "record.json").write_text(json.dumps({"spec": {"hyperparameters": {"lr": 0.002}}}))
    good = ledger("linear", "mnist", "smoke", best="good")
    (results / "cells" / "linear-mnist-smoke.json").write_text(json.dumps(good))
    assert start_points.read_start_points([results], ProfileName.smoke) == {
        "linear/mnist": [{"lr": 0.002}]
    }
    said = capsys.readouterr().err
    assert f"left out the best trial of linear/usps ({reason}" in said
    assert said.count("\n") == 1


def test_an_earlier_value_whose_condition_does_not_hold_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = conditional()
    monkeypatch.setattr(space, "load_space", lambda *_, **__: chosen)
    recipe = chosen.resolve({})["lr"]
    had = {"lr": recipe, "weight_decay": 99.0}  # outside its range, too, and without effect
    record = json.dumps({"spec": {"hyperparameters": had}})
    found = start_points.read_start_points(
        [earlier(tmp_path / "results", LEDGER, record)], ProfileName.smoke
    )
    assert found == {"linear/usps": [{"lr": recipe}]}


def test_what_the_recipe_sets_may_be_said_again() -> None:
    chosen = space.load_space("linear", registry.variant("linear"), ProfileName.smoke)
    batch = chosen.resolve({})["batch_size"]
    point = {"lr": 0.005, "batch_size": batch}
    assert start_points.check_start_points(chosen, [point], "linear/usps") == [{"lr": 0.005}]


def tried(results: Path) -> list[dict[str, Any]]:
    cell = json.loads((results / "cells" / "linear-usps-smoke.json").read_bytes())
    found = (
        present(RunFolder(results, run_id).read()).spec.hyperparameters for run_id in cell["trials"]
    )
    return [{name: values[name] for name in ("lr", "weight_decay")} for values in found]


def test_a_sweep_tries_them_after_the_recipe_and_resuming_needs_no_file(tmp_path: Path) -> None:
    """Then a second sweep starts from the best trial of the first."""
    path = tmp_path / "points.yaml"
    path.write_text("linear/*: [{lr: 0.02}, {lr: 0.003, weight_decay: 0.001}]")
    results = tmp_path / "results"
    run = ["run", "--profile", "smoke", "--offline", "--engine", "inline", "--only", "linear/usps"]
    assert call_here(*run, "--no-wandb", "--start", str(path), results=results) == 0
    recipe = {"lr": 0.001, "weight_decay": 0.01}
    points = [{**recipe, "lr": 0.02}, {"lr": 0.003, "weight_decay": 0.001}]
    assert tried(results) == [recipe, *points]  # smoke has two trials; every point is tried
    path.unlink()
    sweep(load_options(results), results, adding=options.Addition(trials=1))
    assert tried(results)[:3] == [recipe, *points]
    assert len(tried(results)) == 4

    ledger = json.loads((results / "cells" / "linear-usps-smoke.json").read_bytes())
    best = tried(results)[ledger["trials"].index(ledger["best"])]
    assert best != recipe
    again = CHOICE.model_copy(
        update={"start": start_points.read_start_points([results], ProfileName.smoke), "trials": 2}
    )
    sweep(again, tmp_path / "again")
    assert tried(tmp_path / "again") == [recipe, best]
