"""Tests whole sweeps: killed, resumed or spread over workers, they write the same bytes as
tables.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from benchmarks import datasets
from benchmarks.commands.cli import main
from benchmarks.datasets.dataset import Form
from benchmarks.records.errors import InputError
from models import registry
from sweeps.__main__ import app
from tests.mirror import agrees
from tests.narrowing import present
from tests.sweeps.command_lines import (
    CELLS,
    ENVIRONMENT,
    ONLY_ONE,
    ROOT,
    begin,
    call,
    command,
    tables,
)
from tests.tools.chaos import workers


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a sweep with one worker, inline, without any disturbance."""
    results = tmp_path_factory.mktemp("undisturbed") / "results"
    done = call(begin(results, "--engine", "inline"))
    assert done.returncode == 0, done.stderr
    return results


def test_two_workers_give_the_same_tables(undisturbed: Path, tmp_path: Path) -> None:
    done = call(begin(tmp_path / "results", "--workers", "2"))
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "results") == tables(undisturbed)


def test_a_results_folder_may_have_any_name(tmp_path: Path) -> None:
    """No library expands or decodes the name, or takes it for a URL, a template or a pattern."""
    home = tmp_path / "home"
    home.mkdir()
    results = Path("~/file:x/a?b/%20c/d::e/{f}/$HOME/*[g]/#h")
    done = subprocess.run(
        command(
            *("run", "--profile", "smoke", "--offline", "--engine", "inline", *ONLY_ONE),
            results=results,
        ),
        cwd=tmp_path,
        env={**ENVIRONMENT, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    there = {path.name for path in (tmp_path / results).iterdir()}
    assert {"studies.db", "sweep.json", "cells", "runs", "report"} <= there
    assert list((tmp_path / results).glob("runs/*/wandb/*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "~"]
    assert not list(home.rglob("*#h*"))


def test_a_sweep_killed_three_times_gives_the_same_tables(
    undisturbed: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    draw = random.Random(3)
    wanted = len(list((undisturbed / "runs").glob("*/record.json")))
    for part in (0.1, 0.4, 0.7):
        driver = subprocess.Popen(
            begin(results, "--workers", "2"), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE
        )
        while len(list(results.glob("runs/*/record.json"))) < part * wanted:
            assert driver.poll() is None, present(driver.stderr).read().decode()
            time.sleep(0.02)
        time.sleep(draw.random() / 2)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        assert driver.returncode == -signal.SIGKILL
    done = call(command("resume", results=results))
    assert done.returncode == 0, done.stderr
    assert tables(results) == tables(undisturbed)


def test_a_second_call_does_nothing_twice(undisturbed: Path) -> None:
    def written() -> dict[Path, int]:
        places = ("runs/*/record.json", "cells/*.json", "report/*/*")
        return {p: p.stat().st_mtime_ns for place in places for p in undisturbed.glob(place)}

    before = written()
    done = call(begin(undisturbed, "--engine", "inline"))
    assert done.returncode == 0, done.stderr
    assert "Report: " in done.stdout
    assert written() == before


def states(results: Path) -> dict[str, dict[str, int]]:
    """Counts how the trials of each study ended, by the cell's ledger."""
    cells = [json.loads(path.read_bytes()) for path in (results / "cells").glob("*.json")]
    return {cell["study"]: {k: n for k, n in cell["states"].items() if n} for cell in cells}


def test_optuna_reads_every_stored_study(undisturbed: Path) -> None:
    found = shown_by_optuna(undisturbed)
    assert found == states(undisturbed)
    # Without pruned trials, the comparison above would not cover pruning.
    assert found["linear-usps-smoke"].keys() == {"complete", "pruned"}


def shown_by_optuna(results: Path) -> dict[str, Counter[str]]:
    """Counts how the trials of each study ended, by Optuna's own command."""
    found = {}
    for study in states(results):
        program = str(Path(sys.executable).with_name("optuna"))
        where = ("--storage", f"sqlite:///{results / 'studies.db'}", "--study-name", study)
        shown = call([program, "trials", *where, "--format", "json"])
        assert shown.returncode == 0, shown.stderr
        trials = json.loads(shown.stdout)
        assert [trial["number"] for trial in trials] == list(range(6))
        found[study] = Counter(trial["state"].lower() for trial in trials)
    return found


def test_optuna_dashboard_reads_every_stored_study(undisturbed: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    dashboard = subprocess.Popen(
        [program, f"sqlite:///{undisturbed / 'studies.db'}", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = {}
        for study in asked(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]:
            shown = asked(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}")
            found[study["study_name"]] = Counter(t["state"].lower() for t in shown["trials"])
    finally:
        dashboard.kill()
        dashboard.wait()
    assert found == states(undisturbed)


def asked(address: str) -> Any:
    """Waits until a server answers, and returns the answer."""
    for _ in range(200):
        try:
            with urlopen(address, timeout=30) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{address} does not answer")


@pytest.mark.slow
def test_weights_and_biases_agrees_with_the_record_of_every_run(undisturbed: Path) -> None:
    homes = [path.parent for path in undisturbed.glob("runs/*/record.json")]
    assert len(homes) == len(CELLS) * (6 + 2)
    assert [home.name for home in homes if not agrees(home)] == []


def test_status_and_list_need_no_slow_imports(undisturbed: Path) -> None:
    for arguments in (("status", "--results", str(undisturbed)), ("list",)):
        shown = call([sys.executable, "-X", "importtime", "-m", "sweeps", *arguments])
        assert shown.returncode == 0, shown.stderr
        imported = {line.rsplit("|")[-1].strip() for line in shown.stderr.splitlines()}
        assert "rich" in imported
        assert not imported & {"torch", "optuna", "pytorch_lightning", "wandb", "pandas"}
    assert "linear-usps-smoke" in call(command("status", results=undisturbed)).stdout


def test_list_shows_the_whole_matrix() -> None:
    printed = call([sys.executable, "-m", "sweeps", "list"]).stdout
    cells = len(datasets.names()) * f" +({'|'.join((*Form, '–'))})"
    for name, entry in registry.available().items():
        assert re.search(f"^{entry.task} +{name}{cells} *$", printed, re.MULTILINE), printed


def test_the_readme_names_each_variant_with_its_task() -> None:
    """A variant that was just added need not be in the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for task in registry.TASKS:
        (names,) = re.findall(rf"^\| {task}, [^|]+\| ([^|]+) \|", readme, re.MULTILINE)
        for name in re.split("[,;] ", names):
            assert registry.available()[name].task == task


def test_a_sweep_that_is_done_needs_no_lightning(tmp_path: Path) -> None:
    sweep = ["run", "--profile", "smoke", "--offline", "--only", "linear/usps", "--trials", "1"]
    place = ["--results", str(tmp_path / "results")]
    assert call([sys.executable, "-m", "sweeps", *sweep, *place]).returncode == 0
    again = call([sys.executable, "-X", "importtime", "-m", "sweeps", "resume", *place])
    assert again.returncode == 0, again.stderr
    imported = {line.rsplit("|")[-1].strip() for line in again.stderr.splitlines()}
    assert "optuna" in imported
    assert not imported & {"pytorch_lightning", "torchmetrics", "wandb"}


def test_stop_asks_the_driver_to_leave_and_resume_continues(
    undisturbed: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    driver = subprocess.Popen(
        begin(results, "--workers", "1"), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE
    )
    while not list(results.glob("runs/*/record.json")):
        assert driver.poll() is None, present(driver.stderr).read().decode()
        time.sleep(0.05)
    stopped = call([sys.executable, "-m", "sweeps", "stop", "--results", str(results)])
    assert stopped.returncode == 0, stopped.stderr
    _, printed = driver.communicate(timeout=300)
    assert b"capsbench resume --results" in printed
    assert driver.returncode == 143
    stopped = call([sys.executable, "-m", "sweeps", "stop", "--results", str(results)])
    assert stopped.returncode == 2
    assert "no sweep is running" in stopped.stderr
    done = call(command("resume", results=results))
    assert done.returncode == 0, done.stderr
    assert tables(results) == tables(undisturbed)


def test_status_watches_until_all_is_done(undisturbed: Path) -> None:
    shown = call(command("status", "--watch", results=undisturbed))
    assert shown.returncode == 0, shown.stderr
    assert f"{len(CELLS)} of {len(CELLS)} cells done" in shown.stdout
    assert "pruning saved" in shown.stdout


def test_a_worker_that_dies_costs_only_time(undisturbed: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    driver = subprocess.Popen(
        begin(results, "--workers", "1"),
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    for records in (2, 5):
        while len(list(results.glob("runs/*/record.json"))) < records:
            assert driver.poll() is None, present(driver.stderr).read().decode()
            time.sleep(0.02)
        os.kill(workers([driver.pid])[0], signal.SIGKILL)
    _, printed = driver.communicate(timeout=300)
    assert driver.returncode == 0, printed.decode()
    assert tables(results) == tables(undisturbed)


def test_a_second_driver_gets_a_sentence(tmp_path: Path) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".driver.lock"):
        done = call(begin(tmp_path))
    assert done.returncode == 2
    assert "another sweep is running" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "code", "engine"),
    [(signal.SIGINT, 130, "processes"), (signal.SIGTERM, 143, "inline")],
)
def test_a_sweep_that_is_asked_to_leave_says_how_to_resume(
    number: signal.Signals, code: int, engine: str, tmp_path: Path
) -> None:
    driver = subprocess.Popen(
        begin(tmp_path, "--workers", "1", "--engine", engine),
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
    )
    while not list(tmp_path.glob("runs/*/metrics.jsonl")):
        assert driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(number)
    _, printed = driver.communicate(timeout=60)
    assert driver.returncode == code
    assert b"capsbench resume --results" in printed
    assert b"Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--only", "capsnt/*"), "did you mean 'capsnet/"),
        (("run", "--data", "no-such-folder"), "is not a folder"),
        (("run", "--device", "cuda", "--only", "linear/usps", "--profile", "smoke"), "no GPU"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*arguments, "--results", str(tmp_path)]))
    printed = capsys.readouterr().err
    assert left.value.code == 2
    assert message in printed
    assert printed.count("\n") == 1


READERS = {
    "resume": ["resume"],
    "add": ["add", "--trials", "1"],
    "stop": ["stop"],
    "status": ["status"],
    "watch": ["status", "--watch"],
    "export": ["export", "sweep.tar.gz"],
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("place", ["empty", "foreign", "missing", "foreign/notes.txt"])
def test_without_a_sweep_one_sentence_says_so_and_nothing_changes(
    name: str,
    place: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign" / "cells").mkdir(parents=True)
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as left:
        main(lambda: app([*READERS[name], "--results", place]))
    printed = capsys.readouterr().err
    assert left.value.code == 2
    assert "no sweep" in printed
    assert printed.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before


def test_adding_cells_that_do_not_exist_is_one_sentence(tmp_path: Path) -> None:
    """This also holds for a sweep that has all cells already."""
    from sweeps.options import Options

    with pytest.raises(InputError, match="matches no cell"):
        Options(data=tmp_path, workers=1).covering(("liner/usps",))
