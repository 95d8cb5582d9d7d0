"""Tests the budgets of runs: the published budget of each variant, and how profiles change it."""

from __future__ import annotations

import pytest

from benchmarks import datasets
from benchmarks.records.spec import Budget, Role
from benchmarks.specs.profiles import ProfileName, load_profile
from models import registry

PUBLISHED = {
    # From the table of published budgets of the systems to build: variant, dataset, training
    # samples in an epoch, samples held out, epochs, steps, and the recipe's batch.
    ("capsnet-notebook", "mnist"): (60_000, 0, 5, None, 16),
    ("capsnet", "mnist"): (60_000, 0, 50, None, 128),
    ("tlb-keras", "cifar10"): (40_000, 10_000, 30, None, 2048),
    ("pcae", "mnist"): (60_000, 0, 3000, None, 128),
    ("pcae", "usps"): (7_291, 0, 3000, None, 128),
    ("pcae", "cifar10"): (50_000, 0, 3000, None, 128),
    ("pcae", "svhn"): (73_257, 0, 3000, None, 128),
    ("scae", "mnist"): (60_000, 0, None, 300_000, 128),
    ("ccae", "constellations"): (10_000, 0, None, 300_000, 32),
    ("convlstm", "moving_mnist"): (10_000, 0, 300, None, 12),
    ("capsule-transformer", "moving_mnist"): (5_000, 0, 300, None, 16),
}


def test_published_budgets_are_those_of_the_sources() -> None:
    """Variants that are not in the table may have any budget."""
    found = {}
    for name in registry.available():
        variant = registry.variant(name)
        for dataset, budget in variant.published_budgets.items():
            assert dataset in (*datasets.names(), *variant.extra_datasets)
            assert budget.source
            assert "\n" not in budget.source
            recipe = variant.Config(**variant.presets.get(dataset, {}))
            found[name, dataset] = (
                budget.train_samples,
                budget.validation_samples,
                budget.epochs,
                budget.steps,
                recipe.batch_size,
            )
    in_table = {name for name, _ in PUBLISHED}
    assert {cell: numbers for cell, numbers in found.items() if cell[0] in in_table} == PUBLISHED


@pytest.mark.parametrize(
    ("variant", "dataset", "samples", "epochs"),
    [
        ("scae", "mnist", None, 642),  # 300,000 steps of 60,000 // 128 = 468 an epoch, rounded up
        ("scae", "mnist", 55_000, 700),  # of 55,000 // 128 = 429
        ("ccae", "constellations", None, 962),  # of 10,000 // 32 = 312
        ("capsnet-notebook", "mnist", 55_000, 5),
    ],
)
def test_steps_become_epochs_of_whole_batches(
    variant: str, dataset: str, samples: int | None, epochs: int
) -> None:
    cls = registry.variant(variant)
    budget = cls.published_budgets[dataset]
    batch = cls.Config().batch_size
    assert budget.epochs_of(batch_size=batch, train_samples=samples) == epochs


def budget(name: ProfileName, variant: str, dataset: str, *, role: Role) -> Budget:
    recipe = registry.variant(variant).Config(**registry.variant(variant).presets.get(dataset, {}))
    return load_profile(name).budget(variant, dataset, batch_size=recipe.batch_size, role=role)


@pytest.mark.parametrize(
    ("variant", "dataset", "finals", "trials"),
    [
        # epochs, training samples, validation samples; without a search, and with one.
        ("capsnet-notebook", "mnist", (5, 60_000, 0), (5, 55_000, 5000)),
        ("tlb-keras", "cifar10", (30, 40_000, 10_000), (30, 40_000, 10_000)),
        ("pcae", "usps", (3000, 7_291, 0), (3000, 5_833, 5000)),  # a fifth is 1,458
        ("scae", "mnist", (642, 60_000, 0), (700, 55_000, 5000)),
        ("ccae", "constellations", (962, 10_000, 0), (962, 10_000, 5000)),
        ("convlstm", "moving_mnist", (300, 10_000, 0), (300, 10_000, None)),
        ("capsule-transformer", "moving_mnist", (300, 5_000, 0), (300, 5_000, None)),
    ],
)
def test_paper_and_published_spend_the_source_s_budget(
    variant: str, dataset: str, finals: tuple[int, ...], trials: tuple[int, ...]
) -> None:
    """If the source holds out no validation data, a search does, as the profile says."""

    def spent(name: ProfileName, role: Role) -> tuple[int | None, ...]:
        found = budget(name, variant, dataset, role=role)
        held = found.validation_samples
        if (
            trials[2] is None
            and held == load_profile(name).budgets["prediction"].validation_samples
        ):
            held = None
        return found.epochs, found.train_samples, held

    assert spent(ProfileName.published, "final") == finals
    assert spent(ProfileName.published, "trial") == trials
    assert spent(ProfileName.paper, "trial") == trials
    assert spent(ProfileName.paper, "final") == trials


@pytest.mark.parametrize("variant", ["cnn", "ocae", "tlb-frames"])
def test_without_a_source_a_run_spends_the_profile_s_budget(variant: str) -> None:
    task = registry.available()[variant].task
    for name in ProfileName:
        plain = load_profile(name).budgets[task]
        assert budget(name, variant, "usps", role="trial") == plain
        whole = {"validation_samples": 0} if name is ProfileName.published else {}
        found = budget(name, variant, "usps", role="final")
        assert found == plain.model_copy(update=whole)
        assert registry.variant(variant).published_budgets.get("usps") is None


def test_small_profiles_spend_no_source_s_budget() -> None:
    for name in (ProfileName.smoke, ProfileName.quick, ProfileName.standard):
        assert (
            budget(name, "pcae", "mnist", role="final")
            == load_profile(name).budgets["autoencoding"]
        )
