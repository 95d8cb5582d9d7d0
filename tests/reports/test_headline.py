"""Tests that README, document and records have the same headline table, and computes each number
again.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from reports.headline.document import (
    BEGIN,
    DOCUMENT,
    END,
    README,
    document,
    table,
    with_table,
)
from reports.headline.packed_weights import pack_weights
from reports.headline.rows import RECORDS, Measured, add_records, headline_rows, measured_rows
from reports.statistics.intervals import mean

ROWS = measured_rows()
PATHS = sorted(RECORDS.glob("*.json"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_record_is_whole_and_names_no_machine(path: Path) -> None:
    stored = json.loads(path.read_bytes())
    lines = path.with_suffix(".jsonl").read_text().splitlines()
    assert RunRecord.digest_of(stored, [json.loads(line) for line in lines]) == stored["digest"]
    record = RunRecord.model_validate(stored)
    assert record.spec.run_id == record.run_id == path.stem
    assert "/" not in record.provenance.platform
    assert record.data is None or record.data.path == ""


def test_each_record_belongs_to_one_row() -> None:
    records = [RunRecord.model_validate_json(path.read_bytes()) for path in PATHS]
    assert records
    for record in records:
        assert len([row for row in headline_rows() if row.takes(record)]) == 1


@pytest.mark.parametrize("row", headline_rows(), ids=lambda row: row.name)
def test_a_command_makes_the_runs_of_its_row(row) -> None:  # type: ignore[no-untyped-def]
    from benchmarks import specify
    from benchmarks.specs.profiles import ProfileName

    words = row.command.split()
    assert words[:4] == ["capsbench", "run", row.variant, row.dataset]
    settings = dict(words[i + 1].split("=") for i, word in enumerate(words) if word == "--set")
    budget = {
        name.replace("-", "_"): int(words[words.index(f"--{name}") + 1])
        for name in ("epochs", "train-samples", "validation-samples")
        if f"--{name}" in words
    }
    spec = specify(
        row.variant,
        row.dataset,
        profile=ProfileName.published,
        role="final",
        hyperparameters={name: json.loads(value) for name, value in settings.items()},
        budget=budget,
    )
    assert row.epochs in (None, spec.budget.epochs)


def test_document_and_readme_are_made_from_the_records() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(ROWS)
    text = README.read_text(encoding="utf-8")
    assert with_table(text, ROWS) == text
    assert text.index(BEGIN) < text.index(END)


def test_a_mean_is_that_of_the_seeds() -> None:
    for measured in ROWS:
        values = [record.metrics[measured.row.metric] for record in measured.records]
        if values:
            assert measured.score.mean == pytest.approx(mean(values))
            assert f"{100 * mean(values):.2f} %" in table([measured])


@pytest.mark.parametrize(
    ("published", "verdict"), [((0.9, 0.95), "reached"), ((0.5, 0.95), "missed")]
)
def test_a_published_curve_is_reached_in_each_epoch(
    published: tuple[float, float], verdict: str, tmp_path: Path
) -> None:
    (record, *_) = (m.records[0] for m in ROWS if m.row.name.startswith("linear-mnist"))
    records = [
        record.model_copy(update={"run_id": f"run-{i}", "metrics": {"test/accuracy": value}})
        for i, value in enumerate((0.94, 0.95, 0.96))
    ]
    for last in records:
        final = last.metrics["test/accuracy"]
        lines = [
            json.dumps({"epoch": i + 1, "metrics": {"test/accuracy": value}})
            for i, value in enumerate((final - 0.05, final))
        ]
        (tmp_path / f"{last.run_id}.jsonl").write_text("\n".join(lines))
    (row,) = (row for row in headline_rows() if row.name == "notebook-mnist")
    figure = row.published.model_copy(update={"curve": published, "value": published[-1]})  # type: ignore[union-attr]
    measured = Measured(row.model_copy(update={"published": figure}), records, tmp_path)
    assert [round(score.mean, 6) for score in measured.curve] == [0.9, 0.95]
    assert measured.verdict.startswith(verdict)


def test_adding_the_runs_of_another_results_folder_takes_headline_runs_alone(
    tmp_path: Path,
) -> None:
    assert add_records(tmp_path, tmp_path / "records") == []
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_weights_are_packed_for_a_release_if_they_are_those_of_the_records(tmp_path: Path) -> None:
    (one, *_) = sorted(RECORDS.glob("*.json"))
    content = b"weights"
    known = json.loads(one.read_bytes())
    known["weights_file_sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / one.name).write_text(json.dumps(known))
    weights = RunFolder(tmp_path, one.stem).weights
    weights.parent.mkdir(parents=True)
    weights.write_bytes(content)
    archive = tmp_path / "weights.tar"
    assert pack_weights(tmp_path, archive, tmp_path / "records") == [one.stem]
    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["SHA256SUMS", f"{one.stem}.safetensors"]
        assert tar.extractfile(f"{one.stem}.safetensors").read() == content  # type: ignore[union-attr]
    weights.write_bytes(b"others")
    with pytest.raises(InputError, match="is missing or not that of the headline record"):
        pack_weights(tmp_path, archive, tmp_path / "records")
