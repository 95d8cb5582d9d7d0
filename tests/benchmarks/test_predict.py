"""Tests that a trained model can be loaded, and answers to a user's files as in its evaluation."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import benchmarks
from benchmarks.commands.predict_command import predict_files
from benchmarks.datasets.samples import StillSamples
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.model_description import METADATA_KEY
from benchmarks.runs.answers import answer
from benchmarks.runs.input_files import read_inputs
from benchmarks.runs.preparation import load_data
from benchmarks.runs.restoration import evaluate
from benchmarks.tasks.classification import Classification
from benchmarks.tasks.prediction import Prediction
from benchmarks.tasks.task import Task
from models.variant import Images, ImageShape
from tests.benchmarks.test_run import CASES, NOWHERE, made, spec_of
from tests.narrowing import of_type, present

CLIPS: dict[str, Any] = {**CASES["convlstm"], "past": 3, "future": 2}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def images(results: Path) -> str:
    return made(spec_of("cnn", epochs=1, **CASES["cnn"]), results).run_id


@pytest.fixture(scope="module")
def clips(results: Path) -> str:
    return made(spec_of("convlstm", "moving_mnist", epochs=1, **CLIPS), results).run_id


def recorded(
    task: type[Task[Any]], run_id: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[np.ndarray, np.ndarray]:
    """Evaluates a run; returns the inputs and the outputs of its test."""
    seen: list[tuple[Any, torch.Tensor]] = []
    update = task.update

    def remember(self: Task[Any], prediction: torch.Tensor, batch: Any) -> None:
        seen.append((batch, prediction))
        update(self, prediction, batch)

    with monkeypatch.context() as patched:
        patched.setattr(task, "update", remember)
        evaluate(run_id, source=NOWHERE, results=results)
    batch, prediction = seen[-1]
    x = torch.cat(tuple(batch), dim=1) if batch[1].ndim == 5 else batch[0]
    return x.numpy(), prediction.float().numpy()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_answers_to_test_images_are_those_of_the_evaluation(
    precision: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("cnn", epochs=1, precision=precision, **CASES["cnn"])
    images = made(spec, results).run_id
    x, scores = recorded(Classification, images, results, monkeypatch)
    assert len(x) == 20
    for pixels in (x, (x * 255).round().astype(np.uint8), x[:, 0], np.moveaxis(x, 1, -1)):
        np.save(tmp_path / "x.npy", pixels)
        trained = benchmarks.load_model(images, results=results)
        inputs = read_inputs([tmp_path / "x.npy"], trained)
        assert np.array_equal(answer(trained, inputs.samples).arrays["scores"], scores)
    for i, image in enumerate((x * 255).round().astype(np.uint8)):
        Image.fromarray(image[0]).save(tmp_path / f"{i:02}.png")
    inputs = read_inputs(sorted(tmp_path.glob("*.png")), trained)
    assert np.array_equal(answer(trained, inputs.samples).arrays["scores"], scores)
    assert inputs.notes == []


def test_answers_to_test_clips_are_those_of_the_evaluation(
    results: Path, clips: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, frames = recorded(Prediction, clips, results, monkeypatch)
    assert x.shape == (20, 5, 1, 64, 64)
    np.save(tmp_path / "x.npy", x)
    predict_files(clips, [tmp_path / "x.npy"], out=tmp_path / "out", results=results)
    assert np.array_equal(np.load(tmp_path / "out" / "future.npy"), frames)
    mean = evaluate(clips, source=NOWHERE, results=results).metrics["test/mse"]
    table = (tmp_path / "out" / "predictions.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert np.mean([float(row["mse"]) for row in rows]) == pytest.approx(mean)
    with Image.open(tmp_path / "out" / "00000-predictions.gif") as shown:
        assert of_type(GifImageFile, shown).n_frames == 5
    np.save(tmp_path / "past.npy", x[:, :3, 0])
    trained = benchmarks.load_model(clips, results=results)
    past = answer(trained, read_inputs([tmp_path / "past.npy"], trained).samples)
    assert np.array_equal(past.arrays["future"], frames)
    assert past.columns == ("sample",), "without the true frames nothing is measured"


def test_still_images_and_an_animation_are_clips(results: Path, clips: str, tmp_path: Path) -> None:
    frames = [Image.new("L", (64, 64), 60 * i) for i in range(3)]
    for i, frame in enumerate(frames):
        frame.save(tmp_path / f"{i}.png")
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:])
    trained = benchmarks.load_model(clips, results=results)
    stills = read_inputs(sorted(tmp_path.glob("*.png")), trained).samples
    animated = read_inputs([tmp_path / "clip.gif"], trained).samples
    assert len(stills) == len(animated) == 1
    assert torch.equal(stills[0].x, animated[0].x)
    with pytest.raises(InputError, match="the clip has 2 frames, but the model reads 3"):
        read_inputs([tmp_path / "0.png", tmp_path / "1.png"], trained)


def test_a_model_is_loaded_by_id_record_folder_or_file(results: Path, images: str) -> None:
    folder = RunFolder(results, images)
    torch.manual_seed(3)
    ahead = torch.rand(2)
    torch.manual_seed(3)
    by_id = benchmarks.load_model(images, results=results)
    assert torch.equal(torch.rand(2), ahead), "the user's random numbers stay as they were"
    x = torch.rand(2, 1, 28, 28)
    for named in (present(folder.read()), folder.path, folder.weights, str(folder.weights)):
        again = benchmarks.load_model(named, results=results)
        assert torch.equal(again.predict(x), by_id.predict(x))
        assert again.spec == by_id.spec
    assert by_id.shape == ImageShape(1, 28, 28, 10)
    assert by_id.task == "classification"
    assert by_id.hyperparameters.model_dump()["width"] == 4
    assert not by_id.model.training
    assert by_id.preprocessing.divide_by == 255
    own = of_type(StillSamples, load_data(by_id.spec, NOWHERE).test)
    trained_on = own.gather(torch.arange(len(own)), 0)
    assert torch.equal(by_id.tensor(own.images.numpy()), of_type(Images, trained_on).x), (
        "preprocessing is that of the training"
    )


def test_the_weights_file_is_the_same_for_equal_specs(
    results: Path, images: str, tmp_path: Path
) -> None:
    """Its checksum in the record is that of older versions, whose files have no metadata."""
    folder = RunFolder(results, images)
    again = made(present(folder.read()).spec, tmp_path)
    assert RunFolder(tmp_path, images).weights.read_bytes() == folder.weights.read_bytes()
    save_file(load_file(folder.weights), tmp_path / "bare.safetensors")
    bare = hashlib.sha256((tmp_path / "bare.safetensors").read_bytes()).hexdigest()
    assert bare == again.weights_sha256


def changed(path: Path, out: Path, **changes: Any) -> Path:
    """Copies a weights file with another description."""
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()[METADATA_KEY])
    for name, value in changes.items():
        target = description
        *outer, last = name.split("__")
        for key in outer:
            target = target[key]
        target[last] = value
    save_file(load_file(path), out, metadata={METADATA_KEY: json.dumps(description)})
    return out


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": 2}, "not one of this version"),
        ({"weights_sha256": "0" * 64}, "does not match the checksum in it"),
        ({"spec__variant": "cnnn"}, "no variant is called 'cnnn'"),
        ({"spec__hyperparameters": {"wings": 2}}, "hyper-parameters .* this version's cnn"),
        ({"spec__hyperparameters": {"width": 8}}, "do not fit the model .* 4 .* 8"),
        ({"shape__kind": "clips"}, "the shape in .* is not one of this version"),
        ({"shape__sizes__classes": 11}, "do not fit the model"),
    ],
)
def test_weights_that_do_not_match_are_one_sentence(
    changes: dict[str, Any], why: str, results: Path, images: str, tmp_path: Path
) -> None:
    path = changed(RunFolder(results, images).weights, tmp_path / "w.safetensors", **changes)
    with pytest.raises(InputError, match=why):
        benchmarks.load_model(path)


def test_what_is_no_model_is_one_sentence(results: Path, images: str, tmp_path: Path) -> None:
    path = RunFolder(results, images).weights
    save_file(load_file(path), tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match="does not describe its model"):
        benchmarks.load_model(tmp_path / "bare.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        benchmarks.load_model(tmp_path / "torn.safetensors")
    with pytest.raises(InputError, match="has no record of a run 'nobody'"):
        benchmarks.load_model("nobody", results=results)
    failed = made(spec_of("cnn", width=4, lr=1e30), tmp_path)
    with pytest.raises(InputError, match="failed and has no model: NonFinite"):
        benchmarks.load_model(failed.run_id, results=tmp_path)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((3, 30, 30), np.uint8), r"has the shape \(3, 30, 30\)"),
        (np.zeros((28, 28), np.int64), "the numbers are int64"),
        (np.full((28, 28), 7.0), "from 0 to 7: scale them"),
        (np.full((28, 28), np.nan), "not finite"),
        (np.array("x"), r"has the shape \(\)"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(
    array: np.ndarray, why: str, results: Path, images: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=rf"x\.npy:? .*{why}"):
        predict_files(images, [tmp_path / "x.npy"], out=None, results=results)


def test_converted_images_are_said_and_unreadable_ones_refused(
    results: Path, images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (56, 30), "red").save(tmp_path / "red.png")
    predict_files(images, [tmp_path / "red.png"], out=None, results=results)
    assert "red.png: converted from 56×30 RGB to 28×28 grey" in capsys.readouterr().out
    (tmp_path / "text.png").write_text("text")
    Image.fromarray(np.zeros((28, 28), np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (28, 28), (0, 0, 0, 90)).save(tmp_path / "ink.png")
    for path, why in (
        ("text.png", r"text\.png cannot be read \(it is no image of the formats PNG.*: give an im"),
        ("none.png", "not a file"),
        ("deep.png", "not eight bits per channel"),
        ("ink.png", "partly transparent"),
    ):
        with pytest.raises(InputError, match=why):
            predict_files(images, [tmp_path / path], out=None, results=results)


def test_names_and_paths_are_printed_as_they_are(
    results: Path, images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich would take brackets for markup: it would leave them out, or raise an error."""
    file, out = tmp_path / "[b]:x:.png", tmp_path / "[" / "red]"
    Image.new("L", (30, 30)).save(file)
    predict_files(images, [file], out=out, results=results)
    printed = capsys.readouterr().out
    assert printed.count("[b]:x:.png") == 2, "the conversion and the answer"
    assert f" into {out}" in printed


@pytest.mark.parametrize(
    ("variant", "files"),
    [
        ("autoencoder", {"reconstruction.npy", "reconstructions.png", "code.npy"}),
        ("tlb", {"scores.npy", "attention.png"}),
    ],
)
def test_reconstructions_and_attention_are_written(
    variant: str, files: set[str], tmp_path: Path
) -> None:
    small: dict[str, Any] = {"tlb": {"dim": 8, "heads": 2}}
    run = made(spec_of(variant, epochs=1, **small.get(variant, {})), tmp_path)
    Image.new("L", (28, 28), 90).save(tmp_path / "x.png")
    predict_files(run.run_id, [tmp_path / "x.png"], out=tmp_path / "out", results=tmp_path)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= files | {"predictions.csv"}
