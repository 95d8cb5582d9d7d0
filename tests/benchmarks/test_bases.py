"""Tests runs that are built on a base: the base is run first and once, and is not changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec
from benchmarks.runs import journal
from benchmarks.wandb_options import WandbOptions
from models import registry
from models.registry import Entry
from models.variant import Coded, Hyperparameters, Images, ImageShape, Optimization, Variant
from tests.benchmarks.test_run import made, spec_of
from tests.narrowing import present


class LowerConfig(Hyperparameters):
    lr: float = Field(1e-2, gt=0, description="learning rate of SGD")


class Lower(Variant):
    """Encodes with batch norm, which has running statistics, and decodes."""

    Config = LowerConfig
    config: LowerConfig

    def __init__(self, *, shape: ImageShape, config: LowerConfig) -> None:
        super().__init__(shape=shape, config=config)
        pixels = shape.channels * shape.height * shape.width
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 4), nn.BatchNorm1d(4))
        self.decoder = nn.Linear(4, pixels)

    def forward(self, x: Tensor) -> Coded:
        code = self.encoder(x)
        return Coded(code, target=x, reconstruction=self.decoder(code).view_as(x))

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        coded = self(batch.x)
        return {"mse": (coded.reconstruction - batch.x).square().mean()}, coded

    def optimization(self) -> Optimization:
        trained = [p for p in self.parameters() if p.requires_grad]
        return Optimization(torch.optim.SGD(trained, lr=self.config.lr))


class Upper(Lower):
    """Reconstructs the code of `Lower`, and leaves `Lower` in evaluation mode."""

    base_variant = "lower"

    def __init__(self, *, shape: ImageShape, config: LowerConfig, base: Variant) -> None:
        super().__init__(shape=shape._replace(channels=1, height=1, width=4), config=config)
        self.base = base

    def train(self, mode: bool = True) -> Upper:
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, x: Tensor) -> Coded:
        return super().forward(self.base(x).code.view(len(x), 1, 1, 4))

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        coded = self(batch.x)
        return {"mse": (coded.reconstruction - coded.target).square().mean()}, coded


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(registry.available())
    for name, cls in (("lower", Lower), ("upper", Upper)):
        known[name] = Entry(name, "autoencoding", __name__, "Of these tests.")
        monkeypatch.setitem(registry._classes, name, cls)
    monkeypatch.setattr(registry, "available", lambda: known)


def upper(
    *, seed: int = 5, base_seed: int = 5, base: dict[str, Any] | None = None, **how: Any
) -> RunSpec:
    lower = spec_of("lower", epochs=2, role="base", seed=base_seed, **(base or {}))
    return spec_of("upper", epochs=2, seed=seed, **how).model_copy(update={"base": lower})


def weights(results: Path, spec: RunSpec | None) -> dict[str, Tensor]:
    assert spec is not None
    return load_file(RunFolder(results, spec.run_id).weights)


def test_the_base_is_trained_once_and_serves_all_that_rest_on_it(tmp_path: Path) -> None:
    one, two = upper(seed=1), upper(seed=2, role="final")
    assert one.base == two.base
    assert made(one, tmp_path).status == "complete"
    path = RunFolder(tmp_path, present(one.base).run_id).record
    written = path.stat().st_mtime_ns
    final = made(two, tmp_path)
    assert "test/mse" in final.metrics
    assert path.stat().st_mtime_ns == written
    base = RunRecord.model_validate_json(path.read_bytes())
    assert (base.spec.role, base.study, base.epochs) == ("base", None, 2)
    assert not any(name.startswith("test/") for name in base.metrics)
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_equal_specs_give_equal_bits_and_another_base_other_ones(tmp_path: Path) -> None:
    first, again = (made(upper(), tmp_path / name) for name in ("a", "b"))
    assert (first.digest, first.weights_sha256) == (again.digest, again.weights_sha256)
    other = made(upper(base_seed=6), tmp_path / "a")
    assert other.run_id != first.run_id
    assert other.weights_sha256 != first.weights_sha256


def test_training_does_not_change_the_base(tmp_path: Path) -> None:
    """The base keeps its weights and batch statistics; the upper model is trained."""
    spec = upper()
    made(spec, tmp_path)
    kept, whole = weights(tmp_path, spec.base), weights(tmp_path, spec)
    inner = {name: t for name, t in whole.items() if name.startswith("base.")}
    assert {name.removeprefix("base.") for name in inner} == kept.keys()
    assert all(torch.equal(inner[f"base.{name}"], tensor) for name, tensor in kept.items())

    slower = upper(lr=1e-9)
    made(slower, tmp_path)
    barely = weights(tmp_path, slower)
    assert not torch.equal(whole["decoder.weight"], barely["decoder.weight"])


def test_the_base_costs_no_parameters(tmp_path: Path) -> None:
    record = made(upper(), tmp_path)
    own = {n: t for n, t in weights(tmp_path, record.spec).items() if not n.startswith("base.")}
    statistics = sum(t.numel() for name, t in own.items() if "running" in name or "num_b" in name)
    assert record.costs["parameters"] == sum(t.numel() for t in own.values()) - statistics


def test_a_killed_run_ends_bit_equal_on_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of the base was killed before."""
    spec = upper()
    whole = made(spec, tmp_path / "whole")
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    start = journal.Journal.on_train_epoch_start
    deaths: set[tuple[Path, int]] = set()

    def die_once(journal: journal.Journal, trainer: pl.Trainer, task: Any) -> None:
        death = (journal.path, trainer.current_epoch)
        if trainer.current_epoch > 0 and death not in deaths:
            deaths.add(death)
            raise KeyboardInterrupt
        start(journal, trainer, task)

    monkeypatch.setattr(journal.Journal, "on_train_epoch_start", die_once)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            made(spec, tmp_path / "killed")
    resumed = made(spec, tmp_path / "killed")
    assert {path.parent.name for path, _ in deaths} == {spec.run_id, present(spec.base).run_id}
    assert (resumed.digest, resumed.weights_sha256) == (whole.digest, whole.weights_sha256)


def test_on_a_failed_base_a_run_fails_and_says_so(tmp_path: Path) -> None:
    record = made(upper(base={"lr": 1e30}), tmp_path, study="some-study")
    assert (record.status, record.study, record.epochs) == ("failed", "some-study", 0)
    assert present(record.reason).startswith(
        f"the run it is built on, {present(record.spec.base).run_id}, has failed"
    )
    assert "NonFinite" in present(record.reason)
    assert RunFolder(tmp_path, record.run_id).read() == record
    assert made(record.spec, tmp_path / "again").digest == record.digest


def test_a_base_with_damaged_weights_is_re_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = upper()
    base = made(present(spec.base), tmp_path)
    path = RunFolder(tmp_path, present(spec.base).run_id).weights
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert made(spec, tmp_path).digest == made(spec, tmp_path / "again").digest
    assert "weights.safetensors is damaged: the run is re-run" in capsys.readouterr().err
    assert present(RunFolder(tmp_path, base.run_id).read()).digest == base.digest


def test_missing_weights_of_a_base_are_one_sentence(tmp_path: Path) -> None:
    spec = upper()
    made(present(spec.base), tmp_path)
    RunFolder(tmp_path, present(spec.base).run_id).weights.unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors does not match the record"):
        made(spec, tmp_path)
    assert RunFolder(tmp_path, spec.run_id).read() is None


def test_a_variant_without_its_base_is_a_failed_record(tmp_path: Path) -> None:
    record = made(upper().model_copy(update={"base": None}), tmp_path)
    assert record.status == "failed"
    assert "upper is built on lower" in present(record.reason)


@pytest.mark.parametrize("role", ["base", "trial"])
def test_the_base_keeps_its_own_name_in_the_log(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pattern may name hyper-parameters that only the upper model has; other options hold
    for both runs.
    """
    seen = []
    monkeypatch.setattr("wandb.init", lambda **settings: seen.append(settings))
    spec = upper()
    spec = spec.model_copy(update={"base": present(spec.base).model_copy(update={"role": role})})
    made(spec, tmp_path, log=WandbOptions(project="tables", team=None, name="{variant} of {lr}"))
    assert [s["name"] for s in seen] == [present(spec.base).run_id, "upper of 0.01"]
    assert [s["project"] for s in seen] == ["tables", "tables"]
