"""Tests the command line: runs, reproduced runs, and one sentence for bad input."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

import capsbench
from benchmarks import interrupts, specify
from benchmarks.__main__ import app
from benchmarks.commands.cli import announced, chosen_device, main
from benchmarks.commands.run_command import make_run
from benchmarks.commands.run_options import RunOptions
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.atomic_files import write_json
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.runs.run import give_up
from benchmarks.specs.profiles import ProfileName
from benchmarks.wandb_options import WandbOptions
from tests.mirror import agrees

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--profile", "smoke", "--offline", "--set", "batch_size=32")


def call(*arguments: str, results: Path | None = None) -> subprocess.CompletedProcess[str]:
    where = () if results is None else ("--results", str(results))
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments, *where],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "BENCH_DATA": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Makes one final from the command line; returns the results folder and the run id."""
    results = tmp_path_factory.mktemp("cli") / "results"
    done = call("run", "linear", "usps", "--final", "--epochs", "2", *SMALL, results=results)
    assert done.returncode == 0, done.stderr
    assert re.search(r"metric +test +validation +train *\n *accuracy +0\.\d", done.stdout)
    assert re.search(r"epoch 1/2  loss .*  accuracy 0\.\d+ \(best\)", done.stdout)
    assert re.search(r"model +Linear +10 +2,570", done.stdout), done.stdout
    assert re.search(r"complete; [\d,]+ parameters, [\d.]+ MFLOP per sample", done.stdout)
    (home,) = (results / "runs").iterdir()
    assert (home / "curves.png").read_bytes().startswith(b"\x89PNG")
    return results, home.name


@pytest.mark.parametrize("variable", [False, True])
def test_the_next_commands_name_the_folders_that_they_need(
    variable: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    (folder := tmp_path / "data").mkdir()
    if variable:
        monkeypatch.setenv("BENCH_DATA", str(folder))
    where = [] if variable else ["--data", str(folder)]
    results = tmp_path / "results"
    command = ["run", "linear", "usps", "--profile", "smoke", "--train-samples", "64", *where]
    with pytest.raises(SystemExit) as ended:
        app([*command, "--offline", "--results", str(results)], standalone_mode=False)
    assert ended.value.code == 0
    found = re.findall(r"^next: `capsbench (.*)`", capsys.readouterr().out, re.MULTILINE)
    (run,) = (path.name for path in (results / "runs").iterdir())
    data = "" if variable else f" --data {folder}"
    assert found == [
        f"evaluate {run}{data} --results {results}",
        f"predict {run} FILE --results {results}",
    ]


def test_a_run_may_have_another_budget_than_its_profiles(tmp_path: Path) -> None:
    """Papers use other splits, such as 40,000 and 10,000 images of CIFAR-10."""
    samples = ("--train-samples", "50", "--validation-samples", "30", "--test-samples", "20")
    done = call("run", "linear", "usps", *samples, *SMALL, results=tmp_path)
    assert done.returncode == 0, done.stderr
    (home,) = (tmp_path / "runs").iterdir()
    (line,) = map(json.loads, (home / "metrics.jsonl").read_text().splitlines())
    assert line["step"] == 50 // 32, "of whole batches of the samples asked for"
    in_thirtieths = 30 * line["metrics"]["validation/accuracy"]
    assert in_thirtieths == pytest.approx(round(in_thirtieths), abs=1e-5)
    budget = json.loads((home / "record.json").read_bytes())["spec"]["budget"]
    assert (budget["train_samples"], budget["validation_samples"]) == (50, 30)
    assert budget["test_samples"] == 20
    assert budget["epochs"] == 1, "what was not said is the profile's"
    assert budget["profile"] == "smoke"


def test_a_run_is_reproduced_bit_equal(made: tuple[Path, str]) -> None:
    results, run_id = made
    done = call("reproduce", run_id, results=results)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bit-equal" in done.stdout


def test_runs_chosen_at_random_from_a_folder_are_reproduced(made: tuple[Path, str]) -> None:
    results, run_id = made
    done = call("reproduce", "--sample", "2", str(results), results=results)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{run_id}: bit-equal" in done.stdout
    assert "1 of 1 runs bit-equal" in done.stdout
    done = call("reproduce", "--sample", "2", "missing.tar.gz", results=results)
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)


def test_a_difference_is_shown_where_it_first_occurs(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    results, run_id = made
    home = tmp_path / "runs" / run_id
    home.mkdir(parents=True)
    record = json.loads((results / "runs" / run_id / "record.json").read_text())
    record["digest"] = "0" * 64
    (home / "record.json").write_text(json.dumps(record))
    lines = (results / "runs" / run_id / "metrics.jsonl").read_text().splitlines()
    second = json.loads(lines[1])
    second["metrics"]["train/loss"] += 0.5
    (home / "metrics.jsonl").write_text("\n".join([lines[0], json.dumps(second)]) + "\n")
    record["weights_sha256"] = "0" * 64
    (home / "record.json").write_text(json.dumps(record))
    done = call("reproduce", run_id, results=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "differs: epoch 2, train/loss" in done.stdout


def test_a_final_is_evaluated_already_and_predicts(made: tuple[Path, str], tmp_path: Path) -> None:
    results, run_id = made
    done = call("evaluate", run_id, "--offline", results=results)
    assert done.returncode == 0, done.stderr
    assert f"final {run_id} (scored before), data stand-in" in done.stdout
    np.save(tmp_path / "x.npy", np.zeros((2, 16, 16), np.uint8))
    files = (str(tmp_path / "x.npy"), "--out", str(tmp_path / "out"))
    done = call("predict", run_id, *files, results=results)
    assert done.returncode == 0, done.stderr
    assert re.search(r"x\.npy\[1\] +\d +-?[\d.]+", done.stdout)
    assert (tmp_path / "out" / "predictions.csv").read_text().startswith("sample,class,score of 0")


def test_a_run_of_other_code_is_re_run_with_its_picture_or_kept_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = RunOptions(profile=ProfileName.smoke, offline=True, epochs=1)
    places = {"data": tmp_path / "none", "results": tmp_path}
    record = make_run("linear", "usps", choice, **places)
    folder = RunFolder(tmp_path, record.run_id)
    provenance = record.provenance.model_copy(update={"code_version": "older"})
    older = record.sealed(provenance=provenance)
    write_json(folder.record, older.model_dump(mode="json"))
    picture = folder.path / "curves.png"
    picture.write_bytes(b"older")
    keep = choice.model_copy(update={"keep": True})
    assert make_run("linear", "usps", keep, **places) == older
    assert picture.read_bytes() == b"older"
    assert make_run("linear", "usps", choice, **places).digest == record.digest
    assert "(code_version was older, is " in capsys.readouterr().err
    assert picture.read_bytes() != b"older"


def test_weights_and_biases_mirrors_the_record(made: tuple[Path, str]) -> None:
    results, run_id = made
    assert agrees(results / "runs" / run_id)


def test_a_mirror_that_differs_is_seen(made: tuple[Path, str], tmp_path: Path) -> None:
    """Without this test, `bit-equal` could be printed for any two runs."""
    results, run_id = made
    home = shutil.copytree(results / "runs" / run_id, tmp_path / run_id)
    record = json.loads((home / "record.json").read_text())
    record["metrics"]["test/accuracy"] += 1e-12
    (home / "record.json").write_text(json.dumps(record))
    assert not agrees(home)


def test_data_shows_states_and_fingerprints() -> None:
    done = call("data", "--profile", "smoke", "--offline")
    assert done.returncode == 0, done.stderr
    for word in ("mnist", "usps", "cifar10", "svhn", "moving_mnist", "stand-in", "3 × 32 × 32"):
        assert word in done.stdout


def test_options_come_from_the_config() -> None:
    done = call("options", "capsnet")
    assert done.returncode == 0, done.stderr
    for word in ("routing_iterations", "batch_size", "reconstruction_weight", "0.0005"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "capsnt", "mnist"), "did you mean 'capsnet'"),
        (("run", "capsnet", "minst"), "no dataset is called 'minst'"),
        (("run", "linear", "usps", *SMALL, "--set", "l=1"), "did you mean 'lr'"),
        (("run", "linear", "usps", *SMALL, "--set", "lr"), "write --set NAME=VALUE"),
        (("run", "linear", "usps", *SMALL, "--set", "lr=-1"), "greater than 0"),
        (("reproduce", "nothing"), "has no record of a run 'nothing'"),
        (("evaluate", "nothing"), "has no record of a run 'nothing'"),
        (("predict", "nothing", "x.png"), "has no record of a run 'nothing'"),
        (("run", "linear", "usps", *SMALL, "--show", "3;4"), "write them as in --show 3,17,42"),
        (("options", "capsnt"), "did you mean 'capsnet'"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = () if arguments[0] == "options" else ("--results", str(tmp_path))
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*arguments, *results]))
    printed = capsys.readouterr().err
    assert left.value.code == 2
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["cnn", "mnist", "--set", "widht=3"], "did you mean 'width'"),
        (["cnn", "mnist", "--set", "width=none"], "width"),
        (["cnn", "mnist", "--precision", "bf17"], "--precision"),
        (["cnn", "mnist", "--show", "first"], "--show"),
        (["cnn", "mnist", "--upload", "--no-wandb"], "--upload sends nothing with --no-wandb"),
        (["ocae", "mnist", "--base", "nothing"], "nothing"),
    ],
)
def test_a_mistake_is_named_before_data_is_looked_for(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Otherwise the user could wait some minutes for a download before the error."""

    def looked_for(*_: object, **__: object) -> None:
        raise AssertionError("data was looked for")

    monkeypatch.setattr("benchmarks.datasets.image_dataset.find_or_download", looked_for)
    where = ["--data", str(tmp_path), "--results", str(tmp_path / "results")]
    with pytest.raises(SystemExit) as ended:
        main(lambda: app(["run", *arguments, *where]))
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


def test_help_names_each_profile_whole_and_says_which_downloads_nothing() -> None:
    printed = call("run", "--help").stdout
    assert all(re.search(rf"\b{name}\b", printed) for name in ProfileName)
    assert "smoke takes minutes and downloads nothing" in printed


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_sign_that_a_terminal_lacks_ends_no_command(encoding: str) -> None:
    """Examples are ×, and a byte of a path that is not UTF-8."""
    code = r"from benchmarks.commands.cli import command; command(lambda: print('28 × 28 \udcff'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).strip() == (
        "28 × 28 ?" if encoding == "utf-8" else "28 x 28 ?"
    )


@pytest.mark.parametrize("available", [False, True])
def test_a_run_takes_a_gpu_if_there_is_one(
    available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    assert chosen_device(RunOptions().device) == ("cuda" if available else "cpu")
    assert chosen_device("cpu") == "cpu"
    if not available:
        with pytest.raises(InputError, match="finds no GPU on this machine: use --device cpu"):
            chosen_device("cuda")


@pytest.mark.parametrize("command", ["reproduce", "evaluate", "retry"])
def test_a_run_of_a_gpu_that_is_not_here_is_one_sentence_and_keeps_its_record(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the commands has an option `--device`, and another device computes other bits."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    source = DataSource(tmp_path / "data", "none")
    spec = specify("linear", "usps", profile=ProfileName.smoke, source=source)
    on_gpu = spec.model_copy(update={"device": "cuda"})
    log = WandbOptions(off=True)
    record = give_up(on_gpu, results=tmp_path, study=None, reason="its worker died", log=log)
    run = () if command == "retry" else (record.run_id,)
    with pytest.raises(InputError, match=f"{record.run_id} was computed by an NVIDIA GPU, and"):
        capsbench.app([command, *run, "--results", str(tmp_path)], standalone_mode=False)
    assert RunFolder(tmp_path, record.run_id).read() == record


def test_what_is_printed_meanwhile_replaces_the_announcement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with announced("reading usps"):
        assert terminal.getvalue() == "reading usps …"
        print("a stand-in is used", file=sys.stderr)
    assert terminal.getvalue() == "reading usps …\r\x1b[Ka stand-in is used\n"
    assert sys.stderr is terminal
    with announced("reading mnist"):
        pass
    assert terminal.getvalue().endswith("reading mnist …\r\x1b[K")


@pytest.mark.parametrize("front", [app, capsbench.app])
def test_ctrl_c_outside_a_training_is_said_and_not_called_an_error(
    front: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While data is read, for instance; Typer alone ends with exit code 1."""

    def read(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("benchmarks.commands.run_command.make_run", read)
    with pytest.raises(interrupts.Interrupted) as left:
        front(["run", "linear", "usps"])
    assert left.value.exit_code == 130


def test_a_spec_takes_the_name_of_a_profile_as_text() -> None:
    source = DataSource(ROOT / "data", "none")
    named = specify("linear", "usps", profile="smoke", source=source)
    assert named == specify("linear", "usps", profile=ProfileName.smoke, source=source)
    with pytest.raises(InputError, match="there is no profile 'swift': choose one of smoke, quick"):
        specify("linear", "usps", profile="swift", source=source)


def test_ctrl_c_while_modules_are_imported_prints_no_stack_trace(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(  # in place of the first of the slow imports
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "capsbench", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "\ncapsbench: interrupted before it began\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "capsbench is imported"


def test_a_failed_run_says_where_its_traceback_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def burst(*_: object) -> None:
        raise ValueError("the layer does not fit")

    monkeypatch.setattr("models.baselines.Linear.loss", burst)
    monkeypatch.setenv("COLUMNS", "200")
    asked = ["run", "linear", "usps", *SMALL, "--no-wandb", "--results", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        app(asked)
    (record,) = tmp_path.glob("runs/*/record.json")
    printed = capsys.readouterr().out
    assert left.value.code == 1
    assert "failed (ValueError: the layer does not fit" in printed
    assert f"its `traceback` in {record} says where it failed" in printed
    assert "metric" not in printed, "there are none to print a table of"
