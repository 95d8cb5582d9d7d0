"""Tests ConvLSTM's cell and whole against the textbook, with and without peepholes and patches."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import nn

from benchmarks import RunSpec, load_model, run, specify
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.folders import RunFolder
from benchmarks.specs.profiles import ProfileName
from models.convlstm import ConvLSTM, ConvLSTMCell, ConvLSTMConfig
from models.layers.minimal_filters import Winograd
from models.textbook import convlstm
from models.variant import Clips, ClipShape
from tests.models.comparison import gradients, total_loss

Network = TypeVar("Network", bound=nn.Module)


def randomised(module: Network) -> Network:
    """Returns the model in float64, with peephole weights other than zero."""
    for name, parameter in module.named_parameters():
        if name.endswith("peephole"):
            nn.init.normal_(parameter)
    return module.double()


@pytest.mark.parametrize("peephole", [False, True])
def test_the_cell_is_equation_3(peephole: bool) -> None:
    """Compares the cell states of three steps; those after the first depend on outputs too."""
    cell = randomised(ConvLSTMCell(2, 3, size=(5, 4), peephole=peephole))
    oracle = convlstm.Cell(cell)
    geometry = Winograd(kernel=3, rows=5, columns=4)
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64)
    recurrence = cell.begin(geometry, len(x))
    h = c = torch.zeros(2, 3, 5, 4, dtype=torch.float64)
    for _ in range(3):
        recurrence.step(geometry.transform_inputs(x.permute(0, 2, 3, 1), border=1))
        h, c = oracle(x, h, c)
        assert recurrence.state is not None
        ours = geometry.join_tiles(recurrence.state[1]).permute(0, 3, 1, 2)
        torch.testing.assert_close(ours, c)
    torch.testing.assert_close(
        gradients(ours.square().sum(), list(cell.parameters())),
        gradients(c.square().sum(), reordered(cell, oracle)),
    )


def reordered(ours: nn.Module, oracle: nn.Module) -> list[nn.Parameter]:
    """Lists the textbook version's parameters in the order of our model's."""
    theirs = dict(oracle.named_parameters())
    return [theirs[name.replace("gates", "conv")] for name, _ in ours.named_parameters()]


@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize(("patch", "at_once"), [(1, False), (2, False), (2, True)])
def test_frames_loss_and_gradients_equal_the_textbook(
    peephole: bool, patch: int, at_once: bool
) -> None:
    config = ConvLSTMConfig(
        hidden_channels=4, peephole=peephole, patch_size=patch, all_at_once=at_once
    )
    model = randomised(ConvLSTM(shape=ClipShape(2, 8, 6, past=3, future=4), config=config))
    oracle = convlstm.textbook(model).double()
    past, future = (torch.rand(2, steps, 2, 8, 6, dtype=torch.float64) for steps in (3, 4))
    batch = Clips(past, future)
    torch.testing.assert_close(model(past), oracle(past))
    ours, theirs = total_loss(model, batch), oracle.loss(batch)
    torch.testing.assert_close(ours, theirs)
    pairs = [*zip(model.encoder.cells, (oracle.encoder_1, oracle.encoder_2), strict=True)]
    if model.decoder is not None:
        decoders = (oracle.decoder_1, oracle.decoder_2)
        pairs += zip(model.decoder.cells, decoders, strict=True)
    for mine, textbook in pairs:
        torch.testing.assert_close(
            torch.autograd.grad(ours, list(mine.parameters()), retain_graph=True),
            torch.autograd.grad(theirs, reordered(mine, textbook), retain_graph=True),
        )
    torch.testing.assert_close(
        [g.flatten() for g in gradients(ours, list(model.head.parameters()))],
        [g.flatten() for g in gradients(theirs, list(oracle.head.parameters()))],
    )


def test_slices_have_the_batchs_loss_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ConvLSTMConfig(hidden_channels=4, patch_size=2)
    model = ConvLSTM(shape=ClipShape(1, 8, 6, past=2, future=2), config=config).double()
    batch = Clips(*(torch.rand(5, 2, 1, 8, 6, dtype=torch.float64) for _ in range(2)))
    results = []
    for pixels in (1000, 24):
        monkeypatch.setattr("models.convlstm.SLICE", pixels)
        terms, frames = model.loss(batch)
        results.append((frames, gradients(terms["mse"], list(model.parameters()))))
    torch.testing.assert_close(results[0], results[1])


def test_parameter_count() -> None:
    with torch.device("meta"):
        model = ConvLSTM(shape=ClipShape(1, 64, 64, 10, 10), config=ConvLSTMConfig())
    assert sum(p.numel() for p in model.parameters()) == 1_036_097


def test_patches_must_divide_the_frame() -> None:
    with pytest.raises(ValueError, match=r"64×62.*4×4"):
        ConvLSTM(shape=ClipShape(1, 64, 62, 10, 10), config=ConvLSTMConfig(patch_size=4))


def test_frames_are_within_zero_and_one() -> None:
    model = ConvLSTM(shape=ClipShape(1, 8, 8, 2, 3), config=ConvLSTMConfig(hidden_channels=4))
    frames = model(100 * torch.randn(2, 2, 1, 8, 8))
    assert frames.shape == (2, 3, 1, 8, 8)
    assert ((frames >= 0) & (frames <= 1)).all()


def test_all_frames_at_once_is_another_run_and_the_default_is_the_run_that_it_was(
    tmp_path: Path,
) -> None:
    def spec(**given: bool) -> RunSpec:
        source = DataSource(tmp_path, "none")
        return specify(
            "convlstm", "usps", profile=ProfileName.smoke, hyperparameters=given, source=source
        )

    before = spec()
    assert "all_at_once" not in before.hyperparameters, "ids of earlier runs stay"
    assert spec(all_at_once=False).run_id == before.run_id
    assert spec(all_at_once=True).run_id != before.run_id
    record = run(spec(all_at_once=True), source=DataSource(tmp_path, "none"), results=tmp_path)
    trained = load_model(RunFolder(tmp_path, record.run_id).path / "weights.safetensors")
    assert trained.hyperparameters.model_dump()["all_at_once"]
