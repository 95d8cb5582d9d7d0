"""Tests experiments in a file: they are swept, and a wrong word is named in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import own_variants
from benchmarks.records.errors import InputError, SweepStoppedError
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.speed import timing
from sweeps import experiment
from sweeps.__main__ import app
from sweeps.stored_options import load_options
from tests.benchmarks.test_own_variants import FILE, forget
from tests.sweeps.command_lines import NoReport

TEXT = """
variants: [linear]
datasets: [usps]
profile: smoke
trials: 2
finals: 1
epochs: 1
train_samples: 64
precision: 32-true
set: {linear: {weight_decay: 0.125}}
search: {linear: {lr: {low: 1.0e-4, high: 1.0e-2, log: true}}}
engine: inline
"""


def swept(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str, text: str = TEXT) -> Path:
    """Sweeps an experiment, without a report."""
    monkeypatch.setattr("sweeps.__main__.ReportProcess", NoReport)
    (folder / "experiment.yaml").write_text(text)
    (folder / "data").mkdir()
    arguments = [
        "run",
        str(folder / "experiment.yaml"),
        "--offline",
        "--no-wandb",
        "--data",
        str(folder / "data"),
    ]
    with pytest.raises(SystemExit) as left:
        app([*arguments, "--results", str(folder / "results"), *more], standalone_mode=False)
    assert left.value.code == 0
    return folder / "results"


def specs(results: Path) -> list[dict[str, Any]]:
    (ledger,) = ResultsFolder(results).ledgers()
    records = [RunFolder(results, run_id).read() for run_id in (*ledger.trials, *ledger.finals)]
    return [record.spec.model_dump(mode="json") for record in records if record is not None]


def test_the_files_values_decide_the_runs_and_the_command_lines_replace_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = swept(tmp_path, monkeypatch, "--finals", "2")
    made = specs(results)
    assert [spec["role"] for spec in made] == ["trial"] * 2 + ["final"] * 2
    assert {spec["budget"]["train_samples"] for spec in made} == {64}
    assert {spec["hyperparameters"]["weight_decay"] for spec in made} == {0.125}, "it is not varied"
    assert len({spec["hyperparameters"]["lr"] for spec in made if spec["role"] == "trial"}) == 2
    before = {path: path.read_bytes() for path in results.rglob("record.json")}
    assert load_options(results).changes["linear"].set == {"weight_decay": 0.125}
    with pytest.raises(SystemExit):
        app(["resume", "--results", str(results)], standalone_mode=False)
    assert {path: path.read_bytes() for path in results.rglob("record.json")} == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("datsets: [usps]", "the key 'datsets' is unknown: did you mean 'datasets'?"),
        ("set: {liner: {lr: 0.1}}", "yaml: no variant is called 'liner': did you mean 'linear'?"),
        ("set: {cnn: {lr: 0.1}}", "ranges of cnn, which is not among its variants (linear): add"),
        ("set: {linear: {rate: 0.1}}", "no hyper-parameter is called 'rate'"),
        (
            "set: {linear: {lr: -1}}",
            "the experiment's entries for linear: set: lr: Input should be greater than 0",
        ),
        ("trials: 3\ntrials: 4", "the key 'trials' is there twice"),
        ("finals: 2020-13-45", "is not readable YAML"),
        ("seeds: 2", "has finals and seeds, which are one option"),
        ("trials: [2", "is not readable YAML (line 13: expected"),
        (
            "variants: [linar]",
            "experiment.yaml: no variant is called 'linar': did you mean 'linear'?",
        ),
        (
            "datasets: [upsp]",
            "experiment.yaml: no dataset is called 'upsp': did you mean 'usps'?",
        ),
        ("trials: many", "trials: Input should be a valid integer"),
        ("precision: 31-true", "precision: Input should be '32-true', 'bf16-mixed' or '16-mixed'"),
        ("profile: quik", "profile: Input should be 'smoke', 'quick'"),
        ("sampler: tpee", "sampler: Input should be"),
        ("engine: slrum", "engine: Input should be"),
        ("epochs: 0", "epochs: Input should be greater than or equal to 1"),
        ("search: {linear: {lr: {low: 1}}}", "the experiment's entries for linear: lr"),
        ("search: {linear: {lr: {lo: 1}}}", "setting of lr is called 'lo': did you mean 'low'?"),
        ("[", "experiment.yaml is not readable YAML (line"),
    ],
)
def test_a_wrong_word_is_one_sentence(
    change: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = change.partition(":")[0]
    kept = "".join(line + "\n" for line in TEXT.splitlines() if not line.startswith(f"{key}:"))
    with pytest.raises(InputError, match=re.escape(reason)):
        swept(tmp_path, monkeypatch, text=f"{kept}{change}\n")
    assert not (tmp_path / "results" / "runs").exists()


def test_seeds_is_the_other_name_of_finals_as_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("seeds: 3\n")
    assert experiment.read_experiment(path).options == {"finals": 3}


def test_a_wrong_profile_is_one_sentence_beside_start_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "earlier").mkdir()
    text = TEXT.replace("profile: smoke", "profile: quik")
    with pytest.raises(InputError, match=r"experiment.yaml: profile: Input should be 'smoke'"):
        swept(tmp_path, monkeypatch, "--start", str(tmp_path / "earlier"), text=text)


def test_a_dry_run_of_a_users_file_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is registered once, and stored by the sweep alone."""
    monkeypatch.setattr(timing, "PATIENCE", 0.0)
    forget()
    (tmp_path / "dried.py").write_text(FILE.replace("mynet", "dried"))
    read: list[Path] = []
    add = own_variants.add_variants

    def added(path: Path) -> list[str]:
        read.append(path)
        return add(path)

    monkeypatch.setattr(own_variants, "add_variants", added)
    (tmp_path / "dried.yaml").write_text(
        "{variants: [./dried.py], datasets: [usps], profile: smoke}"
    )
    results = tmp_path / "results"
    command = ["run", str(tmp_path / "dried.yaml"), "--dry-run", "--offline"]
    app([*command, "--results", str(results)], standalone_mode=False)
    assert "dried/usps" in capsys.readouterr().out
    forget()
    assert read == [tmp_path / "dried.py"]
    assert not results.exists()


def test_a_stopped_sweep_names_the_command_that_resumes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> list[Any]:
        raise SweepStoppedError("the scheduler is gone: start it again")

    monkeypatch.setattr("sweeps.sweep.sweep", stopped)
    remedy = f"start it again, then go on with `capsbench resume --results {tmp_path}/results`"
    with pytest.raises(InputError, match=re.escape(remedy)):
        swept(tmp_path, monkeypatch)


def test_a_missing_file_is_one_sentence_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        experiment.read_experiment(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_text(json.dumps({"variants": ["cnn", "mynet.py"]}))
    assert experiment.read_experiment(tmp_path / "x.yaml").variants == [
        "cnn",
        str(tmp_path / "mynet.py"),
    ]
