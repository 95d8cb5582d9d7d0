"""Tests that a finished run is scored on test data without a second training, as a final is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file, save_file

from benchmarks import datasets, load_model
from benchmarks.commands.evaluate_command import evaluate_run
from benchmarks.commands.run_command import make_run
from benchmarks.commands.run_options import RunOptions
from benchmarks.datasets.frames import Frames
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.runs import evaluation, other_data
from benchmarks.runs.other_data import score_on
from benchmarks.runs.preparation import load_data
from benchmarks.runs.restoration import evaluate, final_of
from benchmarks.specs.profiles import ProfileName
from benchmarks.tasks import autoencoding
from benchmarks.tasks.prediction import frame_metrics
from models.variant import Clips
from tests.benchmarks.test_run import CASES, NOWHERE, made, spec_of
from tests.mirror import agrees
from tests.narrowing import of_type

CELLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "linear": ("linear", "mnist", {}),
    "dropout": ("cnn", "mnist", CASES["cnn"]),
    "probes": ("autoencoder", "mnist", {}),
    "probes of generated images": ("autoencoder", "moving_mnist", {}),
    "more samples for the test": ("autoencoder", "moving_mnist", {}),
    "no gradients": ("kmeans", "mnist", {}),
    "frames": ("convlstm", "moving_mnist", CASES["convlstm"]),
    "two digits": ("linear", "moving_mnist", {}),
    "bfloat16": ("cnn", "mnist", {"width": 4, "precision": "bf16-mixed"}),
}


@pytest.mark.parametrize("cell", CELLS)
def test_an_evaluated_run_equals_the_final_bit_for_bit(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant, dataset, settings = CELLS[cell]
    if cell == "more samples for the test":
        monkeypatch.setattr(autoencoding, "PROBE_SAMPLES", 30)
    trial = spec_of(variant, dataset, epochs=2, **settings)
    final = made(final_of(trial), tmp_path / "trained")
    assert any(name.startswith("test/") for name in final.metrics), final.traceback
    made(trial, tmp_path / "evaluated")
    with monkeypatch.context() as patched:
        patched.setattr(pl.Trainer, "fit", lambda *_, **__: pytest.fail("it trained again"))
        found = evaluate(trial.run_id, source=NOWHERE, results=tmp_path / "evaluated")
    assert found.digest == final.digest
    assert (found.run_id, found.metrics, found.floors) == (
        final.run_id,
        final.metrics,
        final.floors,
    )
    homes = [RunFolder(tmp_path / name, final.run_id) for name in ("trained", "evaluated")]
    assert homes[1].read_undamaged() == found
    for name in {path.name for path in homes[0].path.glob("*.[psj]*") if path.is_file()}:
        if name != "record.json":  # it has the times
            one, two = ((home.path / name).read_bytes() for home in homes)
            assert one == two, name
    assert agrees(homes[1].path)


def test_test_data_is_scored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = made(spec_of("linear", epochs=1), tmp_path)
    first = evaluate(trial.run_id, source=NOWHERE, results=tmp_path)
    monkeypatch.setattr(
        evaluation, "score_on_test", lambda *_: pytest.fail("test data was scored again")
    )
    assert evaluate(trial.run_id, source=NOWHERE, results=tmp_path) == first
    assert evaluate(first.run_id, source=NOWHERE, results=tmp_path) == first


def test_the_command_writes_what_a_run_with_final_writes(tmp_path: Path) -> None:
    options = RunOptions(profile=ProfileName.smoke, train_samples=64, offline=True)
    final = options.model_copy(update={"final": True})
    data = tmp_path / "data"
    trial = make_run("linear", "usps", options, data=data, results=tmp_path / "results")
    make_run("linear", "usps", final, data=data, results=tmp_path / "trained")
    evaluate_run(trial.run_id, dataset=None, root=data, results=tmp_path / "results", offline=True)
    run_id = final_of(trial.spec).run_id
    written = [
        {path.name for path in RunFolder(tmp_path / name, run_id).path.iterdir()}
        for name in ("results", "trained")
    ]
    assert "curves.png" in written[0]
    assert written[0] == written[1]


def refused(run_id: str, results: Path, why: str) -> None:
    before = sorted(path.name for path in (results / "runs").iterdir())
    with pytest.raises(InputError, match=why):
        evaluate(run_id, source=NOWHERE, results=results)
    assert sorted(path.name for path in (results / "runs").iterdir()) == before


def test_what_would_not_be_a_final_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no record of a run 'nobody'"):
        evaluate("nobody", source=NOWHERE, results=tmp_path)
    pruned = made(spec_of("linear"), tmp_path, stop=lambda scores: True)
    refused(pruned.run_id, tmp_path, "was pruned")
    failed = made(spec_of("cnn", width=4, lr=1e30), tmp_path)
    refused(failed.run_id, tmp_path, "was failed")


def test_a_machine_that_computes_other_bits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored validation metrics show whether this machine computes what the training did."""
    trial = made(spec_of("linear", epochs=1), tmp_path)
    folder = RunFolder(tmp_path, trial.run_id)
    record = json.loads(folder.record.read_text())
    record["metrics"]["validation/loss"] += 1e-12
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    record["digest"] = RunRecord.digest_of(record, lines)
    record["seal"] = RunRecord.seal_of(record)
    folder.record.write_text(json.dumps(record))
    refused(trial.run_id, tmp_path, "this machine computes validation/loss")


def test_weights_of_another_training_are_refused(tmp_path: Path) -> None:
    trial = made(spec_of("linear", epochs=1), tmp_path)
    path = RunFolder(tmp_path, trial.run_id).weights
    state = load_file(path)
    next(iter(state.values())).mul_(1.5)
    save_file(state, path)
    refused(trial.run_id, tmp_path, r"weights\.safetensors is damaged")


def test_weights_of_an_older_version_are_evaluated(tmp_path: Path) -> None:
    """Files of older versions have no metadata; their checksum is that of the whole file."""
    trial = made(spec_of("linear", epochs=1), tmp_path)
    folder = RunFolder(tmp_path, trial.run_id)
    save_file(load_file(folder.weights), folder.weights)
    older = trial.sealed(weights_file_sha256=None)
    folder.record.write_text(older.model_dump_json())
    found = evaluate(trial.run_id, source=NOWHERE, results=tmp_path)
    assert found.digest == made(final_of(trial.spec), tmp_path / "trained").digest


def test_another_dataset_is_scored_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {**CASES["convlstm"], "past": 3, "future": 2}
    record = made(spec_of("convlstm", "moving_mnist", epochs=1, **settings), tmp_path)
    folder = RunFolder(tmp_path, record.run_id)
    before = folder.record.read_bytes()
    scores, path = score_on(record, "usps", source=NOWHERE, results=tmp_path)
    assert folder.record.read_bytes() == before
    assert path.parent == folder.path / "other-data"
    assert scores.label == "trained on moving_mnist, scored on usps"
    assert (scores.data.dataset, scores.samples.test) == ("moving(usps)", 20)
    data = datasets.find("usps").load(
        "prediction",
        budget=record.spec.budget,
        source=NOWHERE,
        seed=record.seed,
        frames=Frames(3, 2, 64),
    )
    batch = of_type(Clips, data.test.gather(torch.arange(20), 0))
    predicted = load_model(record, results=tmp_path).predict(batch.past)
    for name, total in frame_metrics(predicted, batch.future).items():
        assert scores.metrics[f"test/{name}"] == pytest.approx(float(total) / 20)
    monkeypatch.setattr(other_data, "score_on_test", lambda *_: pytest.fail("scored again"))
    assert score_on(record, "usps", source=NOWHERE, results=tmp_path) == (scores, path)
    path.write_text("{}")
    with pytest.raises(InputError, match="does not hold scores of this version"):
        score_on(record, "usps", source=NOWHERE, results=tmp_path)


def test_the_probes_of_other_data_are_those_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test data of a dataset with other data is scored by probes of the run's own data."""
    record = made(spec_of("autoencoder", epochs=1), tmp_path)
    final = evaluate(record.run_id, source=NOWHERE, results=tmp_path)
    load = ImageDataset.load

    def other(*arguments: Any, **named: Any) -> TaskData:
        data = load(*arguments, **named)
        info = data.info.model_copy(update={"sha256": "0" * 64})
        return replace(data, train=None, info=info)  # type: ignore[arg-type]

    own = load_data(record.spec, NOWHERE)
    monkeypatch.setattr(ImageDataset, "load", other)
    monkeypatch.setattr(other_data, "load_data", lambda *_: own)
    scores, _ = score_on(record, "mnist", source=NOWHERE, results=tmp_path)
    tested = {k: v for k, v in final.metrics.items() if k.startswith("test/")}
    assert scores.metrics == tested


def test_other_data_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    record = made(spec_of("linear", epochs=1), tmp_path)
    for dataset, why in {
        "usps": r"usps have channels 1, height 16, .* but run .* height 28",
        "mnist": "was trained on this data of mnist: leave --dataset out",
        "constellations": "constellations is for autoencoding, but the task of linear",
        "minst": "no dataset is called 'minst': did you mean 'mnist'",
    }.items():
        with pytest.raises(InputError, match=why):
            score_on(record, dataset, source=NOWHERE, results=tmp_path)
    assert not (RunFolder(tmp_path, record.run_id).path / "other-data").exists()


def test_an_interrupted_evaluation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = made(spec_of("linear", epochs=1), tmp_path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "score_on_test", interrupt)
        with pytest.raises(KeyboardInterrupt):
            evaluate(trial.run_id, source=NOWHERE, results=tmp_path)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [trial.run_id]
    assert evaluate(trial.run_id, source=NOWHERE, results=tmp_path).complete
