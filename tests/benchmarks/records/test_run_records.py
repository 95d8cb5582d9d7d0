"""Tests records: what the digest covers, what is refused, and what is set aside."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.records.atomic_files import sha256_of
from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from tests.reports.results_folder import Files, sweep

FREE = {"run_id", "study", "traceback", "test_losses", "digest", "costs", "provenance"}
FREE |= {"weights_file_sha256", "seal"}
"""Fields in which records of equal specs may differ, or that follow from the spec."""


@pytest.fixture
def files() -> Files:
    return sweep(variants=("linear",), datasets=("mnist",), trials=1, finals=1)


@pytest.fixture
def run(files: Files, tmp_path: Path) -> RunFolder:
    """Returns the folder of a run with undamaged files."""
    files.write(tmp_path)
    return RunFolder(tmp_path, files.run("linear-mnist-quick", "trial", 0)["run_id"])


def lines_of(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_bytes().splitlines()]


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("field", RunRecord.model_fields)
def test_the_digest_covers_each_field_but_those_that_may_differ(field: str, run: RunFolder) -> None:
    stored, lines = json.loads(run.record.read_bytes()), lines_of(run)
    assert RunRecord.digest_of(stored, lines) == stored["digest"]
    changed = RunRecord.digest_of(stored | {field: "changed"}, lines)
    assert (changed == stored["digest"]) == (field in FREE)


def test_the_digest_covers_each_epoch(run: RunFolder) -> None:
    stored, lines = json.loads(run.record.read_bytes()), lines_of(run)
    lines[0]["metrics"]["train/loss"] += 1e-15
    assert RunRecord.digest_of(stored, lines) != stored["digest"]


def test_a_record_is_stored_as_it_is_read(run: RunFolder) -> None:
    record = run.read()
    assert record is not None
    assert record.model_dump(mode="json") == json.loads(run.record.read_bytes())


def test_a_record_states_its_spec_and_its_costs(files: Files, run: RunFolder) -> None:
    files.records[run.run_id]["costs"] = {"seconds": 2.5, "parameters": None}
    record = RunRecord.model_validate(files.records[run.run_id])
    assert (record.variant, record.dataset, record.role) == ("linear", "mnist", "trial")
    assert (record.seed, record.complete) == (2**64 - 1, True)
    assert record.data is record.provenance.data
    assert record.cost("seconds") == 2.5
    assert math.isnan(record.cost("parameters"))
    assert math.isnan(record.cost("flops_per_sample"))


def test_a_completed_final_has_the_primary_metric_on_test_data(files: Files) -> None:
    final = files.run("linear-mnist-quick", "final", 0)
    del final["metrics"]["test/accuracy"]
    with pytest.raises(ValidationError, match="lacks the primary metric on test data"):
        RunRecord.model_validate(final)
    RunRecord.model_validate(final | {"status": "failed"})


def test_a_fault_is_one_line_whatever_the_file_holds(files: Files) -> None:
    record = files.run("linear-mnist-quick", "final", 0)
    with pytest.raises(ValidationError) as caught:
        RunRecord.model_validate(record | {"a\nb\x1b[31m" * 100: 1})
    fault = first_fault(caught.value)
    assert fault.isprintable()
    assert len(fault) < 200


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("record.json", cut),
        ("record.json", lambda content: b"[" * 100_000),
        ("record.json", lambda content: b"{}"),
        ("record.json", lambda content: b"null"),
        ("record.json", lambda content: content.replace(b'"epochs": 3', b'"epochs": 2')),
        ("metrics.jsonl", cut),
        ("metrics.jsonl", lambda content: content.replace(b"1", b"2", 1)),
        ("metrics.jsonl", lambda content: b""),
    ],
)
def test_damage_is_named_and_left_until_it_is_set_aside(
    name: str,
    change: Callable[[bytes], bytes],
    run: RunFolder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run.damage() is None
    (run.path / name).write_bytes(change((run.path / name).read_bytes()))
    before = contents(run.path)
    fault = run.damage()
    assert fault is not None
    assert contents(run.path) == before
    assert capsys.readouterr().err == ""
    assert run.read_undamaged() is None
    sentence = f"{fault}: the run is re-run, and the old record is kept as record.unused\n"
    assert capsys.readouterr().err == f"capsbench: {sentence}"
    assert (run.path / "record.unused").read_bytes() == before["record.json"][1]
    assert not run.record.exists()
    assert run.damage() is None
    assert run.read_undamaged() is None


def test_a_whole_record_of_another_version_is_refused_and_stays(run: RunFolder) -> None:
    stored = json.loads(run.record.read_bytes())
    del stored["floors"]
    run.record.write_text(json.dumps(stored))
    with pytest.raises(InputError, match=r"version \(floors: Field required\): remove the run's"):
        run.read_undamaged()
    assert json.loads(run.record.read_bytes()) == stored


@pytest.mark.parametrize("renamed", [False, True])
def test_a_record_of_another_run_is_set_aside(
    renamed: bool,
    files: Files,
    run: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The folder, the id and the spec must agree; the test changes one of them."""
    other = RunFolder(tmp_path, files.run("linear-mnist-quick", "final", 0)["run_id"])
    for name in ("record.json", "metrics.jsonl"):
        (run.path / name).write_bytes((other.path / name).read_bytes())
    if renamed:
        run.record.write_text(
            json.dumps(json.loads(run.record.read_bytes()) | {"run_id": run.run_id})
        )
    content = run.record.read_bytes()
    assert run.read_undamaged() is None
    field = "spec" if renamed else "run_id"
    assert f"another run than its folder names (its {field} says " in capsys.readouterr().err
    assert (run.path / "record.unused").read_bytes() == content


def seal(run: RunFolder) -> dict[str, Any]:
    record = run.read()
    assert record is not None
    run.weights.write_bytes(b"weights")
    stored = record.sealed(weights_file_sha256=sha256_of(run.weights)).model_dump(mode="json")
    run.record.write_text(json.dumps(stored))
    assert run.damage() is None
    return stored


@pytest.mark.parametrize("field", sorted(RunRecord.model_fields.keys() - {"seal"}))
def test_the_seal_covers_each_field(field: str, run: RunFolder) -> None:
    """It also covers what the digest leaves out, such as costs and provenance, and a missing
    field.
    """
    stored = seal(run)
    del stored[field]
    run.record.write_text(json.dumps(stored))
    assert "does not match its seal" in (run.damage() or "")


@pytest.mark.parametrize("change", ["costs", "provenance"])
def test_changed_costs_and_provenance_are_damage(change: str, run: RunFolder) -> None:
    stored = seal(run)
    name = {"costs": "seconds", "provenance": "cpu"}[change]
    stored[change][name] = 1.5 if change == "costs" else "another processor"
    run.record.write_text(json.dumps(stored))
    assert "does not match its seal" in (run.damage() or "")


def test_changed_weights_are_damage_and_absent_weights_are_not(run: RunFolder) -> None:
    """Weights may be deleted to save space, because no table needs them."""
    seal(run)
    run.weights.write_bytes(b"w")
    assert run.damage(weights=False) is None
    assert (run.damage() or "").endswith("weights.safetensors is damaged")
    run.weights.unlink()
    assert run.damage() is None


def test_no_run_has_a_folder_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{}")
    for run_id in ("../..", "..", "a/../../..", "\0", ""):
        assert RunFolder(tmp_path / "results", run_id).read() is None
