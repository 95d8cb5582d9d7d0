"""Tests that a sweep shows its runs in Weights & Biases as its options say."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands.cli import main
from benchmarks.records.errors import InputError
from benchmarks.wandb_options import WandbOptions
from sweeps.__main__ import app
from sweeps.options import Options
from sweeps.stored_options import load_options, save_options
from sweeps.sweep import sweep
from tests.sweeps.test_driver import CHOICE as ONE_CELL

SHOWN = WandbOptions(
    project="tables", team="letters", name="{variant}-{role}-{seed}", upload=False, every=2
)
CHOICE = ONE_CELL.model_copy(update={"trials": 1, "finals": 1, "log": SHOWN})


@pytest.fixture
def begun_runs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collects the arguments with which Weights & Biases is called; each call fails, and the
    runs continue.
    """
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("wandb.init", lambda **settings: calls.append(settings))
    return calls


def test_every_run_has_the_sweeps_project_team_and_pattern(
    begun_runs: list[dict[str, Any]], tmp_path: Path
) -> None:
    sweep(CHOICE, tmp_path)
    assert {call["project"] for call in begun_runs} == {"tables"}
    assert {call["entity"] for call in begun_runs} == {"letters"}
    assert {call["mode"] for call in begun_runs} == {"offline"}
    assert [call["name"].split("-")[:2] for call in begun_runs] == [
        ["linear", "trial"],
        ["linear", "final"],
    ]
    assert {call["group"] for call in begun_runs} == {"linear-usps-smoke"}


def test_the_command_line_has_them_all_and_resuming_keeps_them(
    begun_runs: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wandb.login", lambda **_: True)
    choices: list[Options] = []

    def noted(choice: Options, results: Path, report: Any, **_: Any) -> list[Any]:
        save_options(choice, results)
        choices.append(choice)
        raise InputError("far enough")

    monkeypatch.setattr("sweeps.sweep.sweep", noted)
    shown = ["--project", "tables", "--team", "letters", "--run-name", "{variant}-{role}-{seed}"]
    shown += ["--log-every", "2", "--upload"]
    place = ["--results", str(tmp_path)]
    for call in (
        ["run", "--profile", "smoke", "--offline", *shown, *place],
        ["resume", *place],
        ["add", "--trials", "2", *place],
    ):
        with pytest.raises(SystemExit):
            main(partial(app, call))
    assert [choice.log for choice in choices] == [SHOWN.model_copy(update={"upload": True})] * 3


def test_a_damaged_frequency_is_refused(tmp_path: Path) -> None:
    save_options(CHOICE, tmp_path)
    path = tmp_path / "sweep.json"
    path.write_text(path.read_text().replace('"every": 2', '"every": 0'))
    with pytest.raises(InputError, match="greater than or equal to 1"):
        load_options(tmp_path)


def test_a_pattern_that_gives_a_chosen_variant_no_name_begins_nothing(tmp_path: Path) -> None:
    wrong = CHOICE.model_copy(update={"log": WandbOptions(name="{lr}"), "only": ("kmeans/usps",)})
    with pytest.raises(InputError, match="no field of kmeans is called 'lr'"):
        sweep(wrong, tmp_path)
    assert not list(tmp_path.iterdir())


def test_sending_without_a_login_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wandb.login", lambda **_: False)
    sending = CHOICE.model_copy(update={"log": WandbOptions(upload=True)})
    with pytest.raises(InputError, match="wandb login"):
        sweep(sending, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_base_is_called_by_its_id(begun_runs: list[dict[str, Any]], tmp_path: Path) -> None:
    log = WandbOptions(name="{variant} of {object_capsules}")
    sweep(CHOICE.model_copy(update={"only": ("ocae/usps",), "log": log}), tmp_path)
    bases = [call for call in begun_runs if call["job_type"] == "base"]
    assert bases
    assert all(call["id"].startswith(f"{call['name']}-") for call in bases)
    others = [call["name"] for call in begun_runs if call["job_type"] != "base"]
    assert others == ["ocae of 6"] * len(others)
