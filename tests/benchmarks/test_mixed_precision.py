"""Tests float16: the scale of gradients changes no number, and checkpoints have it.

A CPU has no float16 training, so the scale is tested there with layers in float32, whose numbers a
power of two does not round.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from pytorch_lightning.plugins.precision import MixedPrecision
from pytorch_lightning.trainer.connectors.accelerator_connector import _AcceleratorConnector

from benchmarks.commands.cli import chosen_device
from benchmarks.records.errors import InputError
from benchmarks.records.spec import RunSpec
from benchmarks.specs.specification import Machine, specify
from sweeps.options import Options
from sweeps.placement import place_runs
from tests.benchmarks.test_run import NOWHERE, made, made_until_checkpoint, spec_of


class Scaled(MixedPrecision):
    """Scales gradients as float16 does, and doubles the scale every second step."""

    def __init__(self) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**6, growth_interval=2)
        super().__init__("16-mixed", "cpu", scaler)

    def autocast_context_manager(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Scaled]]:
    """Returns a function that makes runs scale their gradients, and returns their plugins."""

    def use() -> list[Scaled]:
        made_here: list[Scaled] = []

        def plugin(connector: object) -> Scaled:
            made_here.append(Scaled())
            return made_here[-1]

        monkeypatch.setattr(_AcceleratorConnector, "_check_and_init_precision", plugin)
        return made_here

    return use


def test_gradients_are_clipped_without_their_scale_and_checkpoints_have_it(
    plugins: Callable[[], list[Scaled]], tmp_path: Path
) -> None:
    spec = spec_of("tlb", epochs=2)  # clips the norm of gradients
    plain = made(spec, tmp_path / "plain")
    used = plugins()
    scaled = made(spec, tmp_path / "scaled")
    assert scaled.status == "complete", scaled.traceback
    assert scaled.digest == plain.digest
    scaler = used[-1].scaler
    assert scaler is not None
    scale = scaler.get_scale()
    assert scale == 2.0**9  # six steps
    made_until_checkpoint(spec, tmp_path / "resumed", kills=3)
    assert made(spec, tmp_path / "resumed").digest == plain.digest
    scaler = used[-1].scaler
    assert scaler is not None
    assert scaler.get_scale() == scale


def test_float16_without_a_cuda_gpu_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="16-mixed needs an NVIDIA GPU, and the device is cpu"):
        specify("linear", "mnist", source=NOWHERE, machine=Machine(precision="16-mixed"))
    with pytest.raises(ValidationError, match="16-mixed needs an NVIDIA GPU"):
        spec_of("linear", precision="16-mixed")
    with pytest.raises(InputError, match="16-mixed needs an NVIDIA GPU"):
        place_runs(Options(data=tmp_path, device="cpu", precision="16-mixed"))


def test_an_apple_gpu_is_taken_only_if_it_is_named_and_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert chosen_device("auto") == "cpu"
    assert chosen_device("mps") == "mps"
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(InputError, match="--device mps: PyTorch finds no Apple GPU"):
        chosen_device("mps")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="float16 needs a GPU, and there is none")
@pytest.mark.parametrize("variant", ["cnn", "tlb"])
def test_a_float16_run_on_a_gpu_resumes_bit_equal(variant: str, tmp_path: Path) -> None:
    values = spec_of(variant, epochs=2).model_dump() | {"device": "cuda", "precision": "16-mixed"}
    spec = RunSpec.model_validate(values)
    whole = made(spec, tmp_path / "whole")
    assert whole.status == "complete", whole.traceback
    made_until_checkpoint(spec, tmp_path / "resumed", kills=2)
    assert made(spec, tmp_path / "resumed").digest == whole.digest


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two GPUs are needed")
def test_two_gpus_resume_bit_equal(tmp_path: Path) -> None:
    values = spec_of("cnn", epochs=2, width=4).model_dump() | {"device": "cuda", "devices": 2}
    spec = RunSpec.model_validate(values)
    whole = made(spec, tmp_path / "whole")
    assert whole.status == "complete", whole.traceback
    made_until_checkpoint(spec, tmp_path / "resumed", kills=2)
    assert made(spec, tmp_path / "resumed").digest == whole.digest
