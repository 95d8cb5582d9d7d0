"""The one maker of specs: command line, sweeps and measurements all specify their runs here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from pydantic import ValidationError

from benchmarks import datasets, profiles
from benchmarks.datasets.dataset import DataSource
from benchmarks.profiles import Profile, ProfileName
from benchmarks.records.errors import InputError
from benchmarks.records.record import DataInfo
from benchmarks.records.spec import Budget, Precision, Role, RunSpec
from benchmarks.run_recipes import invalid_value, recipe
from models import registry


class Machine(NamedTuple):
    """Where and how a run computes, as far as it decides bits."""

    threads: int | None = None
    """None: the profile's."""
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Precision = "32-true"
    deterministic: bool = True


USUAL = Machine()
"""One CPU run in float32, with the profile's threads."""


def specify(
    variant: str,
    dataset: str,
    *,
    profile: Profile | ProfileName = ProfileName.quick,
    role: Role = "trial",
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    budget: Mapping[str, int] | None = None,
    base: RunSpec | None = None,
    budget_role: Role | None = None,
    source: DataSource | None = None,
    machine: Machine = USUAL,
) -> RunSpec:
    """Specifies a run: everything that decides its numbers, validated and whole.

    Args:
        variant: its name.
        dataset: its name; the variant must take it.
        profile: how much the run may spend, and the sizes that its space file sets.
        role: `trial` (scored on validation data), `final` (on test data too) or `base`.
        hyperparameters: those that go before the recipe's.
        seed: where all randomness of the run starts from.
        budget: fields that go before the profile's.
        base: of a variant that is built on another one's trained model, the run of that model; by
            default one with the same seed, and its own recipe.
        budget_role: of a base, the role of the run that is built on it, by which validation samples
            are held out.
        source: where the data is; by default the folder `data`, without downloads.
        machine: where and how the run computes.

    Returns:
        The spec, with the fingerprint of the data that there is.

    Raises:
        InputError: for an unknown name or an impossible value, in one sentence.
    """
    entry = _entry(variant, dataset)
    plan = profiles.load_profile(profile) if isinstance(profile, ProfileName) else profile
    chosen = recipe(variant, dataset, plan.name)
    source = source or DataSource(Path("data"))
    values = chosen.resolve(hyperparameters or {})
    spent = chosen.budget(
        plan,
        budget_role or role,
        batch_size=cast(int, values["batch_size"]),
        changes=budget,
    )
    datasets.find(dataset).require_samples(
        entry.task, asked=budget or {}, budget=spent, source=source
    )
    base_variant = registry.variant(variant).base_variant
    if base is None and base_variant is not None:
        base = specify(
            base_variant,
            dataset,
            profile=plan,
            role="base",
            seed=seed,
            budget=budget,
            budget_role=role,
            source=source,
            machine=machine,
        )
    _require_base(variant, dataset, base_variant, base)
    try:
        return RunSpec(
            variant=variant,
            dataset=dataset,
            role=role,
            hyperparameters=values,
            seed=seed,
            budget=spent,
            precision=machine.precision,
            threads=machine.threads or plan.threads,
            device=machine.device,
            deterministic=machine.deterministic,
            data_sha256=data_of(entry.task, dataset, spent, source).sha256,
            base=base,
        )
    except ValidationError as error:
        raise InputError(invalid_value(error)) from None


@lru_cache(maxsize=256)
def data_of(task: str, dataset: str, budget: Budget, source: DataSource) -> DataInfo:
    """Describes the data of a run: see `Dataset.describe`. Each question is answered once.

    A run checks the data again when it loads it.
    """
    return datasets.find(dataset).describe(task, budget=budget, source=source)


def _entry(variant: str, dataset: str) -> registry.Entry:
    known = registry.available()
    if variant not in known:
        raise InputError(registry.unknown(variant))
    entry, data = known[variant], datasets.find(dataset)
    if data.column is None and dataset not in registry.variant(variant).also_on:
        takers = [name for name in known if dataset in registry.variant(name).also_on]
        raise InputError(f"{variant} does not take {dataset}: {', '.join(takers)} does")
    if entry.task not in data.forms:
        raise InputError(
            f"{variant} does not take {dataset}: its task is {entry.task}, and {dataset} is for "
            f"{', '.join(data.forms)}"
        )
    return entry


def _require_base(
    variant: str, dataset: str, base_variant: str | None, base: RunSpec | None
) -> None:
    if base is None or (base.variant, base.dataset) == (base_variant, dataset):
        return
    raise InputError(
        f"run {base.run_id} is no run of {base_variant} on {dataset}: {variant} is built on one"
        if base_variant
        else f"{variant} is built on no other run: leave the base out"
    )
