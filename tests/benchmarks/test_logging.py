"""Tests what does not depend on the model: a run's name in the log, debugging, determinism."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from torch import Tensor

from benchmarks.__main__ import app
from benchmarks.commands import run_command
from benchmarks.commands.cli import main
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.runs import run
from benchmarks.runs.training_pictures import PictureChoice, TrainingPictures
from benchmarks.wandb_options import WandbOptions
from models.baselines import Linear
from models.variant import Images
from tests.benchmarks.test_run import made, shown, spec_of
from tests.narrowing import present


class Sent:
    """Collects what Weights & Biases receives; nothing is sent, in any mode."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        init, log = wandb.init, wandb.Run.log

        def offline(**settings: Any) -> wandb.Run:
            self.settings.append(settings)
            return init(**{**settings, "mode": "offline"})

        def noted(shown: wandb.Run, values: dict[str, Any], *rest: Any, **how: Any) -> None:
            self.logged.append(values)
            log(shown, values, *rest, **how)

        monkeypatch.setattr("wandb.init", offline)
        monkeypatch.setattr("wandb.Run.log", noted)

    @property
    def epochs(self) -> list[int]:
        return [values["epoch"] for values in self.logged if "epoch" in values]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


def test_by_default_a_run_stays_here_under_its_id(sent: Sent, tmp_path: Path) -> None:
    spec = spec_of("linear")
    shown(spec, tmp_path)
    (settings,) = sent.settings
    assert settings["mode"] == "offline"
    assert settings["project"] == "capsbench"
    assert settings["entity"] is None
    assert settings["name"] == spec.run_id
    assert settings["id"].startswith(f"{spec.run_id}-")
    assert sent.epochs == [1, 2, 3]


def test_name_project_team_and_upload_are_as_asked_and_decide_no_number(
    sent: Sent, tmp_path: Path
) -> None:
    spec = spec_of("linear", lr=0.02)
    name = "{variant}-{dataset}-{lr:.0e}-{batch_size}-{seed}"
    log = WandbOptions(project="tables", team="letters", name=name, upload=True)
    record = shown(spec, tmp_path / "shown", log=log)
    (settings,) = sent.settings
    assert settings["mode"] == "online"
    assert (settings["project"], settings["entity"]) == ("tables", "letters")
    assert settings["name"] == "linear-mnist-2e-02-16-5"
    assert settings["id"].startswith(f"{spec.run_id}-")
    assert record.digest == made(spec, tmp_path / "plain").digest


@pytest.mark.parametrize(("every", "shown"), [(2, [2, 4, 5]), (3, [3, 5]), (9, [5])])
def test_epochs_are_shown_as_often_as_asked_and_written_all(
    every: int, shown: list[int], sent: Sent, tmp_path: Path
) -> None:
    spec = spec_of("linear", epochs=5)
    made(spec, tmp_path, log=WandbOptions(every=every))
    assert sent.epochs == shown
    lines = (RunFolder(tmp_path, spec.run_id).metrics).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4, 5]


def test_pictures_and_steps_are_shown_while_a_trial_trains(sent: Sent, tmp_path: Path) -> None:
    pictures = TrainingPictures(PictureChoice(every_epochs=1))
    spec = spec_of("autoencoder", epochs=2)
    made(spec, tmp_path, log=WandbOptions(every_steps=1), callbacks=[pictures])
    steps = [values for values in sent.logged if "step/loss" in values]
    assert len(steps) == 2 * 48 // 16, "of 48 samples in batches of 16"
    assert all("step/lr" in values for values in steps)
    drawn = [values for values in sent.logged if "while training/reconstructions" in values]
    assert [values["drawn after step"] for values in drawn] == [3, 6]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{variant}-{lrr}", "no field of linear is called 'lrr': did you mean 'lr'"),
        ("{lr.real}", "no field of linear is called 'lr.real'"),
        ("{}", "no field of linear is called ''"),
        ("{lr", "it is no pattern"),
        ("{variant:.2f}", "it is no pattern"),
        ("{lr:{widht}}", "it is no pattern"),
        ("{lr:{run_id.foo}}", "it is no pattern"),
        ("{lr:{run_id[99]}}", "it is no pattern"),
        ("", "it is empty"),
    ],
)
def test_a_name_of_unknown_fields_is_one_sentence(pattern: str, why: str, tmp_path: Path) -> None:
    spec = spec_of("linear")
    with pytest.raises(InputError) as error:
        made(spec, tmp_path, log=WandbOptions(name=pattern))
    assert why in str(error.value)
    assert "\n" not in str(error.value)
    assert not RunFolder(tmp_path, spec.run_id).path.exists()


def infinite_slope(model: Linear, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
    """Computes a loss of 0 whose gradient is NaN."""
    scores = model(batch.x)
    return {"slope": (0 * scores.sum()).square().sqrt()}, scores


def test_debugging_names_the_operation_and_decides_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("linear", epochs=2)
    assert made(spec, tmp_path / "a", debug=True).digest == made(spec, tmp_path / "b").digest
    assert not torch.is_anomaly_enabled()
    monkeypatch.setattr(Linear, "loss", infinite_slope)
    with pytest.warns(UserWarning, match="infinite_slope"):  # the line that made it
        debugged = made(spec, tmp_path / "debugged", debug=True)
    assert debugged.status == "failed"
    assert "PowBackward0" in present(debugged.reason)  # inf from the root, times 0
    plain = made(spec, tmp_path / "plain")
    assert plain.status == "failed"
    assert "Backward0" not in present(plain.reason)
    assert not torch.is_anomaly_enabled()


def test_a_non_deterministic_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    forward = Linear.forward

    def watched(model: Linear, x: Tensor) -> Tensor:
        asked.append(torch.are_deterministic_algorithms_enabled())
        return forward(model, x)

    monkeypatch.setattr(Linear, "forward", watched)
    strict = spec_of("linear", epochs=1)
    loose = strict.model_copy(update={"deterministic": False})
    assert loose.run_id != strict.run_id
    modes = []
    for spec in (strict, loose, strict.model_copy(update={"seed": 6})):
        asked.clear()
        record = made(spec, tmp_path)
        assert RunFolder(tmp_path, spec.run_id).read() == record
        modes.append((record.spec.deterministic, asked[0]))
    assert modes == [(True, True), (False, False), (True, True)]


def test_the_command_line_has_them_all(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wandb.login", lambda **_: True)
    records: list[RunRecord] = []
    debugged = []

    def watched(*arguments: Any, **how: Any) -> RunRecord:
        debugged.append(how["debug"])
        records.append(run.run(*arguments, **how))
        return records[-1]

    monkeypatch.setattr(run_command, "run", watched)
    call = ["run", "linear", "usps", "--profile", "smoke", "--offline", "--epochs", "3"]
    call += ["--set", "batch_size=32", "--results", str(tmp_path), "--project", "tables"]
    call += ["--team", "letters", "--run-name", "{variant}/{lr}", "--upload", "--log-every", "2"]
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*call, "--debug", "--non-deterministic"]))
    assert left.value.code == 0
    (settings,) = sent.settings
    assert (settings["mode"], settings["name"]) == ("online", "linear/0.001")
    assert (settings["project"], settings["entity"]) == ("tables", "letters")
    assert sent.epochs == [2, 3]
    assert debugged == [True]
    assert not records[0].spec.deterministic


def test_what_has_failed_for_good_is_shown_as_it_was_begun(sent: Sent, tmp_path: Path) -> None:
    log = WandbOptions(project="tables", team="letters", name="{variant}", upload=True)
    how: dict[str, Any] = {"study": None, "reason": "it died", "log": log}
    run.give_up(spec_of("linear"), results=tmp_path, **how)
    (settings,) = sent.settings
    assert (settings["project"], settings["name"]) == ("tables", "linear")
    assert settings["mode"] == "online"


def test_uploading_without_a_login_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wandb.login", lambda **_: False)
    call = ["run", "linear", "usps", "--profile", "smoke", "--offline", "--results", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*call, "--upload"]))
    assert left.value.code == 2
    assert "call `wandb login`, or set $WANDB_API_KEY" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_bad_run_name_ends_the_command_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["run", "linear", "usps", "--profile", "smoke", "--offline", "--results", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*call, "--run-name", "{parts}"]))
    printed = capsys.readouterr().err
    assert left.value.code == 2
    assert printed.startswith("capsbench: run name '{parts}': no field of linear is called 'parts'")
    assert printed.count("\n") == 1


def test_equal_runs_of_two_results_folders_have_ids_of_their_own(
    sent: Sent, tmp_path: Path
) -> None:
    spec = spec_of("linear", epochs=1)
    for place in ("a", "b"):
        shown(spec, tmp_path / place)
    shown(spec_of("linear", epochs=2), tmp_path / "a")
    one, other, next_one = (settings["id"] for settings in sent.settings)
    assert one != other
    assert one.rsplit("-")[-1] == next_one.rsplit("-")[-1]  # the folder's
    assert len(one) <= 128


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WANDB_MODE", "disabled"), ("WANDB_MODE", "Disabled"), ("WANDB_DISABLED", "true")],
)
def test_its_own_variables_switch_it_off(
    variable: str, value: str, sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("linear", epochs=1)
    monkeypatch.setenv(variable, value)
    assert shown(spec, tmp_path).status == "complete"
    assert sent.settings == []
    assert not (RunFolder(tmp_path, spec.run_id).path / "wandb").exists()
    with pytest.raises(InputError, match=f"--upload sends nothing with {variable}"):
        WandbOptions(upload=True).require_login()


SMALL = ["run", "linear", "usps", "--profile", "smoke", "--offline", "--epochs", "1"]
SMALL += ["--set", "batch_size=32"]


def test_its_project_and_team_come_from_its_own_variables(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_ENTITY", "letters")
    for options in ([], ["--project", "ours"]):
        call = [*SMALL, *options, "--results", str(tmp_path / str(len(options)))]
        with pytest.raises(SystemExit):
            main(partial(app, call))
    sent_to = [(settings["project"], settings["entity"]) for settings in sent.settings]
    assert sent_to == [("theirs", "letters"), ("ours", "letters")]


def test_a_command_does_without_it(
    sent: Sent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*SMALL, "--no-wandb", "--results", str(tmp_path)]))
    assert left.value.code == 0
    assert sent.settings == []
    assert not list(tmp_path.glob("runs/*/wandb"))
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*SMALL, "--no-wandb", "--upload", "--results", str(tmp_path / "b")]))
    assert left.value.code == 2
    assert "--upload sends nothing with --no-wandb" in capsys.readouterr().err


def test_a_run_leaves_no_temporary_folders(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "run", "autoencoder", *SMALL[2:], "--final"),
            *("--results", tmp_path / "results"),
        ],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "BENCH_DATA": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "temporary").rglob("*wandb*"))
    (home,) = (tmp_path / "results" / "runs").iterdir()
    assert list(home.glob("wandb/*/files/media/images/*.png"))
