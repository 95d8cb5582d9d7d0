"""Tests the rules for the space file of every variant, in each profile and on each dataset."""

from __future__ import annotations

import pytest

from benchmarks import datasets
from benchmarks.specs.profiles import ProfileName
from models import registry
from sweeps.studies import space
from sweeps.studies.space import Space, contains

CELLS = [
    pytest.param(variant, dataset, id=f"{variant}-{dataset}")
    for variant in registry.available()
    for dataset in datasets.names()
]


def load(variant: str, dataset: str, profile: ProfileName) -> Space:
    return space.load_space(variant, registry.variant(variant), profile, dataset=dataset)


@pytest.mark.parametrize("profile", list(ProfileName))
@pytest.mark.parametrize(("variant", "dataset"), CELLS)
def test_every_range_contains_the_recipe(variant: str, dataset: str, profile: ProfileName) -> None:
    """Trial 0 tries the recipe. An entry is checked if its condition holds in the recipe."""
    chosen = load(variant, dataset, profile)
    recipe = chosen.resolve({})
    for name, distribution in chosen.distributions.items():
        if chosen.holds(name, recipe):
            assert contains(distribution, recipe[name]), name
    assert chosen.resolve(chosen.recipe) == recipe


APART = {
    "capsnet": {"follow"},
    "ccae": {"capsules", "points"},
    "capsule-transformer": {"past", "future", "size", "initial_brightness"},
    "convlstm": {"initial_brightness"},
    "tlb-frames": {"initial_brightness"},
}
"""By variant, the hyper-parameters whose values under `paper` and `published` may differ from the
defaults and presets."""


@pytest.mark.parametrize(
    "profile", [ProfileName.standard, ProfileName.paper, ProfileName.published]
)
@pytest.mark.parametrize(("variant", "dataset"), CELLS)
def test_large_budgets_begin_with_the_published_rate(
    variant: str, dataset: str, profile: ProfileName
) -> None:
    """The recipe of the source is the defaults with the presets."""
    cls = registry.variant(variant)
    config = cls.Config(**cls.presets.get(dataset, {}))
    published = {name: getattr(config, name) for name in cls.Config.model_fields}
    recipe = load(variant, dataset, profile).resolve({})
    assert recipe.get("lr") == published.get("lr"), (
        f"{profile} begins at another learning rate than the defaults and presets of {variant}"
    )
    if profile is not ProfileName.standard:
        differing = {name for name, value in recipe.items() if value != published[name]}
        assert differing <= APART.get(variant, set()), (
            f"{profile} sets other values than the defaults and presets of {variant}: "
            "if the source does so too, name the hyper-parameters in APART"
        )


@pytest.mark.parametrize(("variant", "dataset"), CELLS)
def test_quick_searches_a_learning_rate_of_each_trained_variant(variant: str, dataset: str) -> None:
    """All rows of a table then have the same protocol."""
    chosen = load(variant, dataset, ProfileName.quick)
    assert ("lr" in chosen.distributions) == ("lr" in chosen.resolve({})), (
        f"the studies of {variant} in profile quick must search lr"
    )
