"""Tests search spaces: an unknown entry or a wrong type is an error that names the nearest known
entry.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import optuna
import pytest
from pydantic import Field

from benchmarks.records.errors import InputError
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.run_recipes import load_recipe_of
from models.variant import Hyperparameters, Variant
from sweeps.studies import space


class _Config(Hyperparameters):
    lr: float = Field(1e-3, gt=0, description="learning rate")
    layers: int = Field(2, ge=1, le=8, description="depth")
    optimizer: Literal["sgd", "radam"] = Field("sgd", description="which")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")


class _Variant(Variant):
    Config: ClassVar[type[Hyperparameters]] = _Config


def read(text: str, folder: Path, profile: ProfileName = ProfileName.quick) -> space.Space:
    path = folder / "thing.yaml"
    path.write_text(text)
    return space.load_space("thing", _Variant, profile, path)


LAYERS = """search: {layers: {low: 1, high: 4}}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {lrr: {low: 1, high: 2}}", "did you mean 'lr'"),
        ("serch: {}", "did you mean 'search'"),
        ("profiles: {quik: {}}", "did you mean 'quick'"),
        ("profiles: {quick: {layers: 3}}", "no entry of profile quick is called 'layers'"),
        ("profiles: {quick: {sett: {}}}", "did you mean 'set'"),
        ("profiles: {quick: {set: {layer: 3}}}", "did you mean 'layers'"),
        ("profiles: {quick: {set: {layers: many}}}", "layers"),
        ("profiles: {quick: {set: {layers: 99}}}", "less than or equal to 8"),
        ("profiles: {quick: {set: [layers]}}", "set of profile quick must be a mapping"),
        (LAYERS + "profiles: {quick: {search: [layer]}}", "did you mean 'layers'"),
        (LAYERS + "profiles: {quick: {search: [lr]}}", "no search of profile quick is called"),
        (LAYERS + "profiles: {quick: {search: layers}}", "must be a mapping of names"),
        (LAYERS + "profiles: {quick: {search: [3]}}", "must be a mapping of names"),
        (LAYERS + "profiles: {quick: {search: {layers: {hihg: 3}}}}", "did you mean 'high'"),
        (LAYERS + "profiles: {quick: {search: {layers: 3}}}", "layers must be a mapping"),
        ("profiles: {quick: {budget: {epoch: 3}}}", "did you mean 'epochs'"),
        ("profiles: {quick: {budget: {profile: 3}}}", "no budget of profile quick is called"),
        ("profiles: {quick: {budget: {epochs: 0}}}", "greater than or equal to 1"),
        ("profiles: {quick: {budget: {epochs: many}}}", "epochs"),
        # The recipe: lr is 0.001, layers are 2, by default.
        ("search: {lr: {low: 0.01, high: 0.1}}", "lr is 0.001 in the recipe, which 0.01 … 0.1"),
        (
            "search: {lr: {choices: [0.01]}}",
            "lr is 0.001 in the recipe, which 0.01 does not contain",
        ),
        ("search: {layers: {low: 1, high: 7, step: 3}}", "which 1 … 7 in steps of 3 does not"),
        (
            LAYERS + "profiles: {quick: {set: {layers: 5}, search: [layers]}}",
            "profile quick: layers is 5 in the recipe, which 1 … 4 does not contain",
        ),
        ("search: {lr: {low: 1, hihg: 2}}", "did you mean 'high'"),
        ("search: {lr: {low: 1}}", "lacks a range: give low and high, or choices"),
        (
            "search: {lr: {low: 1, high: 2, choices: [1]}}",
            "lacks a range: give low and high, or choices",
        ),
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
        ("search: {lr: {low: '1e-4', high: 1}}", "low"),
        ("search: {}\nsearch: {lr: {low: 1.0e-4, high: 1}}", "the key 'search' is there twice"),
        ("search: {layers: !!int x}", "not readable YAML"),
        ("search: {layers: 2020-13-45}", "not readable YAML"),
        ("search: {layers: {low: true, high: 3}}", "low"),
        ("search: {optimizer: {choices: []}}", "no choices"),
        (
            "search: {optimizer: {choices: [sgd]}, lr: {low: 1, high: 2, when: {optimizer: 3}}}",
            "condition of lr",
        ),
        (
            "search: {optimizer: {choices: [sgd]}, "
            "lr: {low: 1, high: 2, when: {optimizer: radam}}}",
            "optimizer is never ['radam']",
        ),
        ("profiles: {quick: {set: {layers: '3'}}}", "layers"),
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


def test_an_exponent_needs_no_point(tmp_path: Path) -> None:
    """YAML 1.1 alone would read 1e-4 as a text."""
    found = read("search: {lr: {low: 1e-4, high: 1E+0}}", tmp_path).distributions["lr"]
    assert found == optuna.distributions.FloatDistribution(1e-4, 1.0)


CONDITIONAL = """
search:
  optimizer: {choices: [sgd, radam]}
  momentum: {low: 0.1, high: 0.9, when: {optimizer: sgd}}
  layers: {low: 1, high: 8}
  lr: {low: 1.0e-4, high: 1.0e-1, log: true}
profiles:
  smoke: {set: {optimizer: radam}}
  standard: {set: {optimizer: sgd}}
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
    assert set(read(CONDITIONAL, tmp_path, ProfileName.smoke).distributions) == {"layers", "lr"}
    assert set(read(CONDITIONAL, tmp_path, ProfileName.standard).distributions) == {
        "momentum",
        "layers",
        "lr",
    }
    assert read(CONDITIONAL, tmp_path, ProfileName.smoke).resolve({})["optimizer"] == "radam"


PROFILES = """
search:
  lr: {low: 1.0e-4, high: 1.0e-1, log: true}
  layers: {low: 1, high: 8}
  optimizer: {choices: [sgd, radam]}
  momentum: {low: 0.1, high: 0.9, when: {optimizer: sgd}}
profiles:
  smoke: {set: {lr: 0.02, layers: 3}, search: [lr, momentum]}
  quick: {set: {lr: 0.02}, search: {lr: {low: 1.0e-2}, layers: , momentum: {}}}
  standard: {set: {lr: 0.02}, budget: {epochs: 7, train_samples: 30}}
  paper: {set: {optimizer: radam}, search: [lr, momentum]}
"""


def test_a_profile_says_what_is_searched_and_where_that_begins(tmp_path: Path) -> None:
    found = {name: read(PROFILES, tmp_path, name) for name in ProfileName}
    searched = {name.value: list(chosen.distributions) for name, chosen in found.items()}
    every = ["lr", "layers", "optimizer", "momentum"]
    assert searched == {
        "smoke": ["lr", "momentum"],
        "quick": ["lr", "layers", "momentum"],
        "standard": every[1:],
        "paper": ["lr"],  # momentum is of sgd, which this profile does not use
        "published": every,
    }
    assert found[ProfileName.smoke].recipe == {"lr": 0.02, "momentum": 0.9}
    assert found[ProfileName.quick].recipe == {"lr": 0.02, "layers": 2, "momentum": 0.9}
    assert found[ProfileName.paper].recipe == {"lr": 1e-3}
    assert found[ProfileName.smoke].resolve({})["layers"] == 3


def test_a_profile_may_narrow_a_range(tmp_path: Path) -> None:
    wide = read(PROFILES, tmp_path, ProfileName.published).distributions["lr"]
    narrow = read(PROFILES, tmp_path, ProfileName.quick).distributions["lr"]
    assert wide == optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)
    assert narrow == optuna.distributions.FloatDistribution(1e-2, 1e-1, log=True)


def test_a_profile_may_give_a_variant_another_budget(tmp_path: Path) -> None:
    path = tmp_path / "thing.yaml"
    path.write_text(PROFILES)
    standard, quick = (
        load_recipe_of("thing", _Variant, "", name, path)
        for name in (ProfileName.standard, ProfileName.quick)
    )
    assert standard.budget_changes == {"epochs": 7, "train_samples": 30}
    assert quick.budget_changes == {}


def test_a_partial_point_is_completed_by_the_recipe(tmp_path: Path) -> None:
    chosen = read(PROFILES, tmp_path, ProfileName.published)
    assert chosen.recipe == {"lr": 1e-3, "layers": 2, "optimizer": "sgd", "momentum": 0.9}
    assert chosen.point({"optimizer": "radam"}) == {"lr": 1e-3, "layers": 2, "optimizer": "radam"}
    assert chosen.point({"layers": 5}) == {**chosen.recipe, "layers": 5}


def test_a_dataset_s_preset_is_part_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Variant, "presets", {"usps": {"layers": 5}})
    path = tmp_path / "thing.yaml"
    path.write_text(LAYERS)
    with pytest.raises(InputError, match="profile quick on usps: layers is 5 in the recipe"):
        space.load_space("thing", _Variant, ProfileName.quick, path, dataset="usps")
    assert (
        space.load_space("thing", _Variant, ProfileName.quick, path, dataset="mnist").recipe[
            "layers"
        ]
        == 2
    )
