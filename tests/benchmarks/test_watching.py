"""Tests what a user sees of a run during training; none of it changes a number."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from rich.console import Console

from benchmarks import tensorboard
from benchmarks.commands import run_progress
from benchmarks.commands.layer_table import layers_of
from benchmarks.commands.result_tables import print_metrics
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.runs import training_pictures
from benchmarks.runs.preparation import build_model, shape_of, unused_terms
from benchmarks.runs.recording import scoring_of
from benchmarks.runs.training_pictures import PictureChoice, TrainingPictures
from benchmarks.speed.pace import Pace
from benchmarks.tasks.pictures import LabelledPicture
from benchmarks.wandb_options import WandbOptions
from tests.benchmarks.test_run import CASES, made, made_until_checkpoint, spec_of
from tests.narrowing import of_type


def watched(spec: Any, results: Path, *, terminal: bool = False, width: int = 80) -> str:
    """Makes a run; returns what is printed."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=width)
    scoring = scoring_of(spec)
    metric = scoring.primary
    callbacks = run_progress.callbacks(console, metric, scoring.directions[metric])
    assert made(spec, results, callbacks=callbacks).status == "complete"
    return shown.getvalue()


def test_each_epoch_is_a_line_that_marks_the_best(tmp_path: Path) -> None:
    spec = spec_of("linear", epochs=3)
    printed = watched(spec, tmp_path)
    record = RunFolder(tmp_path, spec.run_id).read()
    assert record is not None
    lines = re.findall(
        r"epoch (\d)/3  loss [\d.]+  validation loss [\d.]+  "
        r"accuracy ([\d.]+)( \(best\))?",
        printed,
    )
    assert [int(line[0]) for line in lines] == [1, 2, 3]
    assert [float(line[1]) for line in lines] == pytest.approx(record.history, rel=1e-3)
    best = [score > max(record.history[:i], default=-1) for i, score in enumerate(record.history)]
    assert [bool(line[2]) for line in lines] == best
    assert "model   Linear, 7,850 trained parameters" in printed
    assert "data    mnist (stand-in), 48 training and 20 validation samples\n" in printed
    assert "budget  3 epochs, batches of 16\n" in printed
    assert "1 CPU thread, 32-true" in printed


def test_a_resumed_run_shows_the_epochs_before(tmp_path: Path) -> None:
    spec = spec_of("linear", epochs=2)
    made_until_checkpoint(spec, tmp_path, kills=4)
    printed = watched(spec, tmp_path)
    assert re.findall(r"epoch (\d)/2", printed) == ["1", "2"]
    assert "resumed at step 4" in printed


def test_a_narrow_terminal_has_the_first_texts_of_the_bar() -> None:
    shown = io.StringIO()
    bar = run_progress.LiveBar(Console(file=shown, force_terminal=True, width=60))
    bar.start()
    bar.show(
        "epoch 10/40", 1234, 5678, ["loss 0.1234", "accuracy 0.9", "2 h 05 min left", "9 samples/s"]
    )
    bar.stop()
    line = re.sub(r"\x1b\[[\d;?]*\w", "", shown.getvalue())
    assert len(re.findall("[━╸╺]", line)) >= run_progress.SMALLEST_BAR
    assert "loss 0.1234" in line
    assert "samples/s" not in line


@pytest.mark.parametrize("variant", ["cnn", "autoencoder"])
def test_a_terminal_has_a_bar_within_its_width(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_progress, "REFRESH_SECONDS", 0.0)
    printed = watched(spec_of(variant, epochs=2), tmp_path, terminal=True)
    bars = re.findall(
        r"epoch 2/2 [^\n\r]*?\b\d/3  loss [^\n\r]*", re.sub(r"\x1b\[[\d;?]*\w", "", printed)
    )
    assert bars
    assert "samples/s" in bars[0]
    assert " left" in bars[0]
    assert ("accuracy" in bars[0]) == (variant == "cnn")
    assert all(len(bar.rstrip()) <= 80 for bar in bars)


def test_the_time_left_is_that_of_steps_and_validations() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    pace.begin()
    assert pace.left(10, 1) is None
    for seconds in (50.0, 2.0, 4.0):  # the first step is slow
        now += seconds
        pace.step()
    assert pace.steps_per_second == pytest.approx(1 / 3)
    assert pace.left(10, 2) == pytest.approx(30)
    pace.begin()
    now += 5.0
    pace.validated()
    assert pace.left(10, 2) == pytest.approx(40)


def test_the_primary_metric_is_first_and_unused_terms_are_left_out() -> None:
    shown = io.StringIO()
    metrics = {
        "train/loss": 3.0,
        "train/loss/used": 1.0,
        "train/loss/unused": 2.0,
        "validation/mse": 0.2,
        "validation/lin_match": 0.9,
        "test/lin_match": 0.8,
    }
    print_metrics(
        Console(file=shown, width=80),
        metrics,
        "lin_match",
        unused_terms={"unused"},
        floors={"untrained": {"lin_match": 0.3}, "mean image": {"mse": 1.0}},
    )
    lines = [line.split() for line in shown.getvalue().splitlines()]
    assert lines[0] == ["metric", "test", "validation", "train"]
    assert [line[0] for line in lines[1:5]] == ["lin_match", "mse", "loss", "loss/used"]
    assert lines[1][1:] == ["0.8", "0.9"]
    assert shown.getvalue().splitlines()[-1] == "floors of lin_match on test data: untrained 0.3"


def test_unused_terms_are_those_of_weight_zero() -> None:
    assert unused_terms(spec_of("capsnet")) == set()
    assert unused_terms(spec_of("capsnet", reconstruction_weight=0.0)) == {"reconstruction"}


PICTURED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "dropout": ("cnn", "mnist", CASES["cnn"], ""),
    "capsules": ("capsnet", "mnist", CASES["capsnet"], "reconstructions.png"),
    "probes": ("autoencoder", "moving_mnist", {}, "reconstructions.png"),
    "frames": ("convlstm", "moving_mnist", CASES["convlstm"], "predictions.gif"),
}


@pytest.mark.parametrize("case", PICTURED)
def test_pictures_change_no_number(case: str, tmp_path: Path) -> None:
    variant, dataset, settings, file = PICTURED[case]
    spec = spec_of(variant, dataset, epochs=2, **settings)
    pictures = TrainingPictures(PictureChoice(1, 2, [3, 0]))
    record = made(spec, tmp_path / "drawn", callbacks=[pictures])
    assert record.digest == made(spec, tmp_path / "plain").digest
    folder = RunFolder(tmp_path / "drawn", spec.run_id).path / "pictures"
    if file:
        names = {path.name for path in folder.iterdir()}
        steps = 48 // of_type(int, spec.hyperparameters["batch_size"])
        drawn = [f"epoch-{epoch:04}" for epoch in (1, 2)]
        drawn += [f"step-{step:06}" for step in range(2, 2 * steps + 1, 2)]
        assert names >= {f"{when}-{file}" for when in drawn}


def test_without_a_wish_the_last_epoch_is_drawn(tmp_path: Path) -> None:
    spec = spec_of("autoencoder", epochs=2)
    made(spec, tmp_path, callbacks=[TrainingPictures(PictureChoice())])
    folder = RunFolder(tmp_path, spec.run_id).path / "pictures"
    assert [path.name for path in folder.iterdir()] == ["epoch-0002-reconstructions.png"]


@pytest.mark.parametrize(
    ("variant", "dataset", "file"),
    [("kmeans", "usps", "reconstructions.png"), ("copy-last", "moving_mnist", "predictions.gif")],
)
def test_a_variant_without_epochs_is_drawn_once(
    variant: str, dataset: str, file: str, tmp_path: Path
) -> None:
    """And a sample that does not exist is refused, as in a training."""
    spec = spec_of(variant, dataset)
    record = made(spec, tmp_path, callbacks=[TrainingPictures(PictureChoice(1, None, [3, 0]))])
    folder = RunFolder(tmp_path, spec.run_id).path / "pictures"
    assert f"fitted-{file}" in {path.name for path in folder.iterdir()}
    assert record.digest == made(spec, tmp_path / "plain").digest
    with pytest.raises(InputError, match="--show 20: the run has 20 validation samples"):
        made(
            spec,
            tmp_path / "wrong",
            callbacks=[TrainingPictures(PictureChoice(None, None, [20]))],
        )


@pytest.mark.parametrize("choice", [PictureChoice(), PictureChoice(1), PictureChoice(samples=[3])])
def test_a_variant_that_draws_nothing_says_so_once_where_pictures_were_asked_for(
    choice: PictureChoice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of("linear", epochs=2)
    made(spec, tmp_path, callbacks=[TrainingPictures(choice)])
    asked = choice != PictureChoice()
    assert capsys.readouterr().err.count("has no pictures, since its variant draws none") == asked
    assert not (RunFolder(tmp_path, spec.run_id).path / "pictures").exists()


def test_predicted_clips_are_animated(tmp_path: Path) -> None:
    spec = spec_of("convlstm", "moving_mnist", epochs=1, **CASES["convlstm"])
    made(spec, tmp_path, callbacks=[TrainingPictures(PictureChoice())])
    folder = RunFolder(tmp_path, spec.run_id).path / "pictures"
    with Image.open(folder / "epoch-0001-predictions.gif") as clip:
        assert of_type(GifImageFile, clip).n_frames == 20


def test_a_sample_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--show 20: the run has 20 validation samples: .* to 19"):
        made(
            spec_of("linear"),
            tmp_path,
            callbacks=[TrainingPictures(PictureChoice(None, None, [20]))],
        )


def test_a_picture_that_fails_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(training_pictures, "save_pictures", fail)
    spec = spec_of("autoencoder", epochs=2)
    record = made(spec, tmp_path, callbacks=[TrainingPictures(PictureChoice(every_epochs=1))])
    assert record.status == "complete"
    assert capsys.readouterr().err.count("no more pictures are drawn (OSError: no space)") == 1


def test_finals_have_losses_on_test_data_and_lines_the_learning_rate(tmp_path: Path) -> None:
    spec = spec_of("cnn", epochs=2, role="final", width=4, restart_steps=12)
    record = made(spec, tmp_path)
    assert record.test_losses["loss"] > 0
    lines = RunFolder(tmp_path, spec.run_id).metrics.read_text().splitlines()
    rates = [json.loads(line)["learning_rate"] for line in lines]
    cosine = [(1 + math.cos(math.pi * steps / 12)) / 2 for steps in (3, 6)]
    rate = of_type(float, spec.hyperparameters["lr"])
    assert rates == pytest.approx([rate * share for share in cosine])


def test_records_of_older_versions_keep_their_digest(tmp_path: Path) -> None:
    """They have neither losses on test data nor learning rates, and no digest covers these."""
    spec = spec_of("linear", epochs=2, role="final")
    record = made(spec, tmp_path)
    folder = RunFolder(tmp_path, spec.run_id)
    older = json.loads(folder.record.read_text())
    for name in ("test_losses", "seal", "weights_file_sha256"):
        del older[name]
    folder.record.write_text(json.dumps(older))
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    for line in lines:
        del line["learning_rate"]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert folder.damage() is None
    read = folder.read()
    assert read is not None
    assert read.digest == record.digest
    assert read.test_losses == {}


class Writer:
    """Stands for TensorBoard's writer, whose package is optional."""

    scalars: list[tuple[str, float, int]]
    images: list[str]

    def __init__(self, log_dir: str) -> None:
        Writer.scalars, Writer.images = [], []
        self.closed = False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def add_image(self, name: str, pixels: Any, step: int, dataformats: str) -> None:
        assert pixels.shape[2] == 3
        assert dataformats == "HWC"
        self.images.append(name)

    def add_text(self, name: str, text: str) -> None:
        assert (name, text) == ("status", "complete")

    def close(self) -> None:
        self.closed = True


def test_tensorboard_shows_epochs_steps_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.runs.tensorboard_view.writer_class", lambda: Writer)
    spec = spec_of("autoencoder", epochs=2)
    log = WandbOptions(tensorboard=True, off=True, every_steps=2)
    pictures = TrainingPictures(PictureChoice())
    record = made(spec, tmp_path, log=log, callbacks=[pictures])
    lines = [
        json.loads(line)
        for line in RunFolder(tmp_path, spec.run_id).metrics.read_text().splitlines()
    ]
    name = "train/loss"
    shown = [(v, n) for key, v, n in Writer.scalars if key == f"epoch/{name}"]
    assert shown == [(line["metrics"][name], line["epoch"]) for line in lines]
    assert [n for key, _, n in Writer.scalars if key == "step/loss"] == [2, 4, 6]
    assert "epoch/lr" in {key for key, _, _ in Writer.scalars}
    assert Writer.images == ["reconstructions"]
    assert record.digest == made(spec, tmp_path / "plain").digest


def test_tensorboard_that_is_not_installed_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="--tensorboard needs the package tensorboard"):
        tensorboard.writer_class()
    with pytest.raises(InputError, match="--tensorboard"):
        WandbOptions(tensorboard=True).require_login()


def test_random_numbers_of_a_validation_do_not_depend_on_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing keeps the state of torch's generator, which a validation may draw from."""
    states: list[torch.Tensor] = []

    def draw(*_: object) -> dict[str, LabelledPicture]:
        torch.rand(3)
        return {}

    class Remember(TrainingPictures):
        def _draw(self, *arguments: Any) -> None:
            before = torch.get_rng_state()
            super()._draw(*arguments)
            states.extend((before, torch.get_rng_state()))

    monkeypatch.setattr(training_pictures, "draw_samples", draw)
    made(spec_of("linear", epochs=1), tmp_path, callbacks=[Remember(PictureChoice())])
    assert torch.equal(*states)


@pytest.mark.parametrize("variant", ["capsnet", "scae", "convlstm", "kmeans", "ccae"])
def test_layers_have_the_shapes_of_their_outputs(variant: str) -> None:
    spec = spec_of(variant, "moving_mnist" if variant == "convlstm" else "mnist")
    model = build_model(spec, shape_of(spec))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    whole, *parts = layers_of(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert whole.parameters == sum(p.numel() for p in model.parameters())
    if variant == "capsnet":
        assert whole.output == (10,)
        assert any(part.name.startswith("network.") and part.output for part in parts)
    if variant == "convlstm":
        assert whole.output == (10, 1, 64, 64)


def test_the_bar_keeps_its_width_and_names_its_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fields of changing width would make the bar jump with each number."""
    monkeypatch.setattr(run_progress, "REFRESH_SECONDS", 0.0)
    printed = re.sub(
        r"\x1b\[[\d;?]*\w", "", watched(spec_of("cnn", epochs=2), tmp_path, terminal=True)
    )
    lines = [line for line in re.split(r"[\r\n]+", printed) if re.search("[━╸╺]", line)]
    assert lines
    assert all(line.startswith("epoch ") for line in lines)
    # Times and rates with more digits are wider; how fast a machine is, is not the point.
    places: dict[tuple[int, bool], set[int]] = {}
    for line in lines:
        if timed := re.search(r"  (\d+) s left +(\S+) samples/s", line):
            widths = len(timed[1]), len(timed[2]) > 5
            places.setdefault(widths, set()).add(line.index("loss"))
    assert places
    assert all(len(found) == 1 for found in places.values())
