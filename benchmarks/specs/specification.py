"""Specifies runs, for the command line, sweeps and Python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.record import DataInfo
from benchmarks.records.spec import (
    Budget,
    DeviceName,
    Precision,
    Role,
    RunSpec,
    require_computable,
    require_shares,
)
from benchmarks.specs import profiles
from benchmarks.specs.profiles import Profile, ProfileName
from benchmarks.specs.run_recipes import invalid_value, load_recipe
from models import registry


class Machine(NamedTuple):
    """Says where and how a run computes, as far as this can change its numbers."""

    threads: int | None = None
    """CPU threads; None: the profile's number."""
    device: DeviceName = "cpu"
    precision: Precision = "32-true"
    deterministic: bool = True
    devices: int = 1
    """Processes that train a run together, one per device."""


USUAL = Machine()
"""The default: CPU, float32, deterministic, with the profile's number of threads."""


def specify(
    variant: str,
    dataset: str,
    *,
    profile: Profile | str = ProfileName.quick,
    role: Role = "trial",
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    budget: Mapping[str, int] | None = None,
    base: RunSpec | None = None,
    budget_role: Role | None = None,
    source: DataSource | None = None,
    machine: Machine = USUAL,
    test_curve: bool = False,
) -> RunSpec:
    """Makes the complete, validated spec of a run.

    The data is read, because the spec contains its fingerprint.

    Args:
        variant: the name of the model.
        dataset: the name of a dataset that the variant can be trained on.
        profile: how much the run may spend; the variant's space file also sets hyper-parameters
            by profile.
        role: `trial` (scored on validation data), `final` (also scored on test data) or `base`
            (trained for other runs to build on).
        hyperparameters: values by name; they override defaults, presets and the space file.
        seed: the seed of all randomness.
        budget: fields of the budget by name; they override the profile's.
        base: the run whose trained model this run is built on, if the variant needs one; by
            default a run with the same seed, data and machine, and the base variant's own recipe.
        budget_role: for a base, the role of the run that is built on the base; it decides how many
            validation samples are held out. By default `role`.
        source: where the data is; by default the folder `data`, without downloads.
        machine: devices, threads, precision and determinism.
        test_curve: whether a final is scored on test data after each epoch.

    Returns:
        The spec.

    Raises:
        InputError: if a name is unknown, a value is impossible, the variant cannot be trained on
            the dataset, or the data cannot be read.
    """
    source = source or DataSource(Path("data"))
    datasets.use_folder(source.root)
    entry = _entry(variant, dataset)
    plan = profiles.load_profile(profile) if isinstance(profile, str) else profile
    chosen = load_recipe(variant, dataset, plan.name)
    values = chosen.resolve(hyperparameters or {})
    _require_devices(variant, machine, values)
    if test_curve and not registry.variant(variant).has_optimization():
        raise InputError(
            f"{variant} is not trained by gradients, so it has no epochs to score on test data: "
            "leave --test-curve out"
        )
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
            variant_sha256=entry.sha256,
            test_curve=test_curve,
            devices=machine.devices,
        )
    except ValidationError as error:
        raise InputError(invalid_value(error)) from None


@lru_cache(maxsize=256)
def data_of(task: str, dataset: str, budget: Budget, source: DataSource) -> DataInfo:
    """Describes the data of a run, as `Dataset.describe` does, and caches the description.

    The cache is safe because a run checks the fingerprint again when it loads the data.

    Args:
        task: the task of the variant.
        dataset: the name of the dataset.
        budget: how many samples of each part are used.
        source: where the data is.

    Returns:
        The description, with the fingerprint.

    Raises:
        InputError: if the data cannot be read.
    """
    return datasets.find(dataset).describe(task, budget=budget, source=source)


def _entry(variant: str, dataset: str) -> registry.Entry:
    known = registry.available()
    if variant not in known:
        raise InputError(registry.unknown_variant(variant))
    entry, data = known[variant], datasets.find(dataset)
    if data.column is None and dataset not in registry.variant(variant).extra_datasets:
        takers = [name for name in known if dataset in registry.variant(name).extra_datasets]
        raise InputError(
            f"{variant} cannot be trained on {dataset}: only {', '.join(takers)} can: "
            "choose another variant or dataset"
        )
    if entry.task not in data.forms:
        raise InputError(
            f"{variant} cannot be trained on {dataset}: the task of {variant} is {entry.task}, and "
            f"{dataset} is for {', '.join(data.forms)}: choose another dataset"
        )
    return entry


def _require_devices(variant: str, machine: Machine, values: Mapping[str, Any]) -> None:
    if machine.devices > 1 and not registry.variant(variant).has_optimization():
        raise InputError(
            f"{variant} is not trained by gradients, which several devices would share: leave "
            "--devices out"
        )
    try:
        require_computable(machine.device, machine.precision, machine.devices)
        require_shares(machine.devices, values["batch_size"])
    except ValueError as error:
        raise InputError(str(error)) from None


def _require_base(
    variant: str, dataset: str, base_variant: str | None, base: RunSpec | None
) -> None:
    if base is None or (base.variant, base.dataset) == (base_variant, dataset):
        return
    raise InputError(
        f"run {base.run_id} is not a run of {base_variant} on {dataset}: {variant} needs such a "
        "run as its base: name one, or leave the base out to train one"
        if base_variant
        else f"{variant} is not built on another run: leave the base out"
    )
