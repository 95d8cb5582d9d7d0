"""Search spaces: what is unknown or ill-typed is an error that names the nearest known entry."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import optuna
import pytest
from pydantic import Field

from benchmarks.errors import InputError
from benchmarks.profiles import Name
from models import registry
from models.variant import Hyperparameters, Variant
from sweeps import space


class _Config(Hyperparameters):
    lr: float = Field(1e-3, gt=0, description="learning rate")
    layers: int = Field(2, ge=1, le=8, description="depth")
    optimizer: Literal["sgd", "radam"] = Field("sgd", description="which")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")


class _Variant(Variant):
    Config: ClassVar[type[Hyperparameters]] = _Config


def read(text: str, folder: Path, profile: Name = Name.quick) -> space.Space:
    path = folder / "thing.yaml"
    path.write_text(text)
    return space.load("thing", _Variant, profile, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {lrr: {low: 1, high: 2}}", "did you mean 'lr'"),
        ("serch: {}", "did you mean 'search'"),
        ("profiles: {quik: {}}", "did you mean 'quick'"),
        ("profiles: {quick: {layer: 3}}", "did you mean 'layers'"),
        ("profiles: {quick: {layers: many}}", "layers"),
        ("profiles: {quick: {layers: 99}}", "less than or equal to 8"),
        ("search: {lr: {low: 1, hihg: 2}}", "did you mean 'high'"),
        ("search: {lr: {low: 1}}", "needs low and high, or choices"),
        ("search: {lr: {low: 1, high: 2, choices: [1]}}", "needs low and high, or choices"),
        ("search: {lr: {low: 2, high: 1}}", "lr"),
        ("search: {lr: {low: 0, high: 1}}", "greater than 0"),
        ("search: {layers: {low: 1, high: 9}}", "less than or equal to 8"),
        ("search: {layers: {low: 1.5, high: 3}}", "layers"),
        ("search: {lr: {low: a, high: b}}", "lr"),
        ("search: {optimizer: {choices: [sgd, adam]}}", "optimizer"),
        ("search: {optimizer: {low: 1, high: 2}}", "choices"),
        (
            "search: {momentum: {low: 0, high: 0.9, when: {optimiser: sgd}}}",
            "condition of momentum",
        ),
        ("search: {lr: {low: 1e-4, high: 1}}", "low"),  # YAML 1.1 reads 1e-4 as a text
        ("search: {layers: {low: true, high: 3}}", "low"),
        ("search: {optimizer: {choices: []}}", "no choices"),
        (
            "search: {optimizer: {choices: [sgd]}, lr: {low: 1, high: 2, when: {optimizer: 3}}}",
            "condition of lr",
        ),
        (
            "search: {optimizer: {choices: [sgd]}, "
            "lr: {low: 1, high: 2, when: {optimizer: radam}}}",
            "optimizer never is ['radam']",
        ),
        ("profiles: {quick: {layers: '3'}}", "layers"),
        ("search: [lr]", "mapping"),
        ("search: {lr: 3}", "mapping"),
        ("search: {lr", "not readable YAML"),
        ("search: {lr: !!python/object/apply:os.system [echo]}", "not readable YAML"),
    ],
)
def test_a_wrong_entry_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(text, tmp_path)
    assert message in str(caught.value)
    assert "thing.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


CONDITIONAL = """
search:
  optimizer: {choices: [sgd, radam]}
  momentum: {low: 0.1, high: 0.9, when: {optimizer: sgd}}
  layers: {low: 1, high: 8}
  lr: {low: 1.0e-4, high: 1.0e-1, log: true}
profiles:
  smoke: {optimizer: radam}
  standard: {optimizer: sgd}
"""


def test_a_condition_holds_or_the_entry_is_left_out(tmp_path: Path) -> None:
    chosen = read(CONDITIONAL, tmp_path)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(30):
        trial = study.ask()
        chosen.suggest(trial)
        assert ("momentum" in trial.params) == (trial.params["optimizer"] == "sgd")
        assert chosen.resolve(trial.params)["optimizer"] == trial.params["optimizer"]
        seen.add(trial.params["optimizer"])
    assert seen == {"sgd", "radam"}


def test_what_a_profile_sets_is_not_searched(tmp_path: Path) -> None:
    assert set(read(CONDITIONAL, tmp_path, Name.smoke).distributions) == {"layers", "lr"}
    assert set(read(CONDITIONAL, tmp_path, Name.standard).distributions) == {
        "momentum",
        "layers",
        "lr",
    }
    assert read(CONDITIONAL, tmp_path, Name.smoke).resolve({})["optimizer"] == "radam"


@pytest.mark.parametrize("profile", list(Name))
@pytest.mark.parametrize("variant", registry.available())
def test_every_variant_has_a_space(variant: str, profile: Name) -> None:
    chosen = space.load(variant, registry.variant(variant), profile)
    chosen.resolve({})
