"""Points that studies start from: read from files and from earlier sweeps, and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import main
from benchmarks.errors import InputError
from benchmarks.profiles import Name
from benchmarks.records import read_record
from models import registry
from sweeps import options, space, starts
from sweeps.__main__ import app
from sweeps.sweep import sweep
from tests.sweeps.test_driver import CHOICE

YAML = """
linear/*:
  - {lr: 0.005}
linear/usps:
  - {weight_decay: 0.001}
"""


def read(text: str, folder: Path, name: str = "points.yaml") -> starts.Points:
    path = folder / name
    path.write_text(text)
    return starts.read([path], Name.smoke)


def test_a_file_maps_cells_to_points(tmp_path: Path) -> None:
    found = read(YAML, tmp_path)
    assert found["linear/usps"] == [{"lr": 0.005}, {"weight_decay": 0.001}]
    assert found["linear/mnist"] == [{"lr": 0.005}]
    assert len(found) == 5
    as_json = read(json.dumps({"linear/svhn": [{"lr": 0.005}]}), tmp_path, "points.json")
    assert as_json == {"linear/svhn": [{"lr": 0.005}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("liner/usps: [{lr: 0.1}]", "matches no cell"),
        ("linear/usps: {lr: 0.1}", "must have a list of points"),
        ("linear/usps: [0.1]", "must have a list of points"),
        ("linear/usps: [{lr: [1]}]", "must have a list of points"),
        ("- 1", "must map cells"),
        ("", "must map cells"),
        ("linear/usps: [{lr", "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(text, tmp_path)
    assert "--start" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_without_a_sweep_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        starts.read([tmp_path / "none.yaml"], Name.smoke)
    with pytest.raises(InputError, match="no cell of this folder has a best trial"):
        starts.read([tmp_path], Name.smoke)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"lrr": 0.1}, "no hyper-parameter is called 'lrr': did you mean 'lr'"),
        ({"lr": 10.0}, "linear/usps: lr = 10.0 is outside its range, 0.0003 … 0.03"),
        ({"lr": "many"}, "lr = many is outside its range"),
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
    assert not list(tmp_path.iterdir())


def test_what_the_recipe_sets_may_be_said_again() -> None:
    chosen = space.load("linear", registry.variant("linear"), Name.smoke)
    batch = chosen.resolve({})["batch_size"]
    point = {"lr": 0.005, "batch_size": batch}
    assert starts.checked(chosen, [point], "linear/usps") == [{"lr": 0.005}]


def tried(results: Path) -> list[dict[str, Any]]:
    ledger = json.loads((results / "cells" / "linear-usps-smoke.json").read_bytes())
    found = (read_record(results, run_id).spec.hyperparameters for run_id in ledger["trials"])
    return [{name: values[name] for name in ("lr", "weight_decay")} for values in found]


def test_a_sweep_tries_them_after_the_recipe_and_resuming_needs_no_file(tmp_path: Path) -> None:
    """Then a second sweep starts from the first one's best trial."""
    path = tmp_path / "points.yaml"
    path.write_text("linear/*: [{lr: 0.02}, {lr: 0.003, weight_decay: 0.001}]")
    results = tmp_path / "results"
    run = ["run", "--profile", "smoke", "--offline", "--engine", "inline", "--only", "linear/usps"]
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*run, "--results", str(results), "--start", str(path)]))
    assert left.value.code == 0
    recipe = {"lr": 0.001, "weight_decay": 0.01}
    points = [{**recipe, "lr": 0.02}, {"lr": 0.003, "weight_decay": 0.001}]
    assert tried(results) == [recipe, *points]  # smoke has two trials; every point is tried
    path.unlink()
    grown = options.load(results).grown(1, 0, ())
    sweep(grown, results)
    assert tried(results)[:3] == [recipe, *points]
    assert len(tried(results)) == 4

    ledger = json.loads((results / "cells" / "linear-usps-smoke.json").read_bytes())
    best = tried(results)[ledger["trials"].index(ledger["best"])]
    assert best != recipe
    again = CHOICE.model_copy(update={"start": starts.read([results], Name.smoke), "trials": 2})
    sweep(again, tmp_path / "again")
    assert tried(tmp_path / "again") == [recipe, best]
