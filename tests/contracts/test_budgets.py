"""What a run may spend: each variant's published budget, and what a profile makes of it."""

from __future__ import annotations

import pytest

from benchmarks import datasets
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
    found = {}
    for name in registry.available():
        variant = registry.variant(name)
        for dataset, budget in variant.published_budgets.items():
            assert dataset in (*datasets.names(), *variant.also_on)
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
    assert found == PUBLISHED


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
