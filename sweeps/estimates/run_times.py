"""Estimates how long the runs of a cell take, from timed steps of untrained models."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from benchmarks import datasets, metrics
from benchmarks.datasets.frames import Frames
from benchmarks.records.spec import Budget, Role
from benchmarks.specs import profiles
from benchmarks.speed import timing
from models import registry
from models.variant import Hyperparameters, Shape
from sweeps.cells import run_counts
from sweeps.options import Options
from sweeps.studies import space
from sweeps.studies.space import Space

RunKind = tuple[str, str, Role]
"""The name of a variant, the name of a dataset, and the role of a run: equal kinds take about the
same time."""


def run_seconds(
    variant: str,
    dataset: str,
    choice: Options,
    budget: Budget,
    device: str,
    *,
    tested: bool,
    patience: float | None = None,
) -> float:
    """Estimates the seconds of one run with the recipe's hyper-parameters.

    Args:
        variant: the name of the variant.
        dataset: the name of the dataset.
        choice: the options of the sweep.
        budget: the budget of the run.
        device: the device on which steps are timed, cpu or cuda.
        tested: whether test data is evaluated too, as in a final.
        patience: seconds that a timed step may take; None: `timing.PATIENCE`.

    Returns:
        Seconds of training and evaluation, without start and end of the run.
    """
    config = recipe_config(variant, cell_space(variant, choice, dataset))
    base_variant = registry.variant(variant).base_variant
    base = base_variant and recipe_config(base_variant, cell_space(base_variant, choice, dataset))
    task, data = registry.available()[variant].task, datasets.find(dataset)
    threads = profiles.load_profile(choice.profile).threads
    shape = data.shape_of(task, Frames.of(config))
    times = cached_sample_times(variant, shape, config, base or None, threads, device, patience)
    sizes = data.sizes_of(task, budget)
    batch = min(config.batch_size, sizes.train)
    trained = sizes.train // batch * batch
    trainable = times.training > 0
    epochs = budget.epochs if trainable else 1
    # A final that is trained by gradients is also tested before its first step.
    tests = (2 if trainable else 1) if tested else 0
    evaluated = epochs * sizes.validation + tests * sizes.test
    if "lin_pred" in metrics.directions(task, dataset):
        evaluated += _encoded(sizes.train, epochs if sizes.validation else 0, tests)
    return epochs * trained * times.training + evaluated * times.evaluation


def _encoded(train: int, validations: int, tests: int) -> int:
    """Counts the training samples that a run encodes for its probes.

    Before each validation, probes are fitted to `PROBE_SAMPLES` samples; before each test, to all.
    If the last validation's probes were fitted to all samples, the last test uses these probes.
    """
    part = min(metrics.PROBE_SAMPLES, train)
    fitted = tests - 1 if tests and validations and part == train else tests
    return validations * part + fitted * train


@cache  # datasets with images of the same shape share one measurement
def cached_sample_times(
    variant: str,
    shape: Shape,
    config: Hyperparameters,
    base: Hyperparameters | None,
    threads: int,
    device: str,
    patience: float | None,
) -> timing.SampleTimes:
    """Times the steps of an untrained variant; see `timing.sample_times`."""
    model = timing.untrained_model(variant, shape, config, base)
    return timing.sample_times(
        model,
        shape,
        batch_size=config.batch_size,
        threads=threads,
        device=device,
        patience=patience,
    )


def seconds_by_kind(
    variant: str, dataset: str, choice: Options, device: str, *, patience: float | None = None
) -> Iterator[tuple[RunKind, float]]:
    """Estimates the seconds of each kind of run of a cell.

    Args:
        variant: the name of the cell's variant.
        dataset: the name of the cell's dataset.
        choice: the options of the sweep.
        device: the device on which steps are timed, cpu or cuda.
        patience: seconds that a timed step may take; None: `timing.PATIENCE`.

    Yields:
        The kind of run, and the seconds of one such run. The kinds are trials, finals and, if the
        variant is built on another variant, bases, which are runs of that variant.
    """
    profile, chosen = profiles.load_profile(choice.profile), cell_space(variant, choice, dataset)
    roles: tuple[Role, Role] = ("trial", "final")
    for role in roles:
        seconds = run_seconds(
            variant,
            dataset,
            choice,
            chosen.budget(profile, role),
            device,
            tested=role == "final",
            patience=patience,
        )
        yield (variant, dataset, role), seconds
    base = registry.variant(variant).base_variant
    if base is not None:
        budget = cell_space(base, choice, dataset).budget(profile, "final")
        seconds = run_seconds(
            base, dataset, choice, budget, device, tested=False, patience=patience
        )
        yield (base, dataset, "base"), seconds


def base_budgets(
    base_variant: str, dataset: str, choice: Options, trials: int, finals: int
) -> list[Budget]:
    """Lists the budgets of a cell's bases.

    Args:
        base_variant: the name of the variant of the bases.
        dataset: the name of the cell's dataset.
        choice: the options of the sweep.
        trials: the number of the cell's trials.
        finals: the number of the cell's finals.

    Returns:
        One budget per base.
    """
    base = cell_space(base_variant, choice, dataset)
    profile = profiles.load_profile(choice.profile)

    def budget_of(role: Role) -> Budget:
        return base.budget(profile, role)

    return [budget_of(role) for _, role in run_counts.list_bases(trials, finals, budget_of)]


def cell_space(variant: str, choice: Options, dataset: str) -> Space:
    """Returns the search space of a cell in a sweep.

    Args:
        variant: the name of the cell's variant.
        choice: the options of the sweep.
        dataset: the name of the cell's dataset.
    """
    return space.load_space(
        variant,
        registry.variant(variant),
        choice.profile,
        dataset=dataset,
        changes=choice.changes_of(variant),
    )


def recipe_config(variant: str, chosen: Space) -> Hyperparameters:
    """Returns the hyper-parameters of the recipe, which trial 0 has.

    Args:
        variant: the name of the variant.
        chosen: the search space of the cell.
    """
    return registry.variant(variant).Config.model_validate(chosen.resolve({}))
