"""What a run is made of before its first step: its data, its model, its task."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from benchmarks import datasets, tasks
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.sequences import Frames
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.atomic_files import sha256_of
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import RunSpec
from models import registry
from models.variant import Shape, Variant


class Prepared(NamedTuple):
    """A run before its first step."""

    spec: RunSpec
    folder: RunFolder
    data: TaskData
    model: Variant
    """On the spec's device."""
    task: tasks.Task[Any]

    def another_task(self) -> tasks.Task[Any]:
        """Makes a task of the same model and data, which shares no state with `task`."""
        return _task(self.spec, self.model, self.data)


def load_data(spec: RunSpec, source: DataSource) -> TaskData:
    """Loads the data of a run.

    Raises:
        InputError: if it is missing, or not the data that the spec has the fingerprint of.
    """
    config = registry.variant(spec.variant).Config.model_validate(spec.hyperparameters)
    data = datasets.find(spec.dataset).load(
        registry.available()[spec.variant].task,
        budget=spec.budget,
        source=source,
        seed=spec.seed,
        device=spec.device,
        frames=Frames.of(config),
    )
    if data.info.sha256 != spec.data_sha256:
        raise InputError(
            f"run {spec.run_id} was specified on other data of {spec.dataset} than is in "
            f"{data.info.path} ({data.info.state}): point --data at the data it was specified on"
        )
    return data


def prepare(spec: RunSpec, data: TaskData, folder: RunFolder) -> Prepared:
    """Builds the model of a run, with its first weights, and its task.

    Raises:
        InputError: if the weights of the run's base are not those that its record names.
    """
    torch.manual_seed(derive_seed(spec.seed, init=0))
    base = None if spec.base is None else _trained(spec.base, data.shape, folder)
    model = build_model(spec, data.shape, base)
    # Before the optimiser is made, which holds the parameters where they are.
    model.to(spec.device)
    return Prepared(spec, folder, data, model, _task(spec, model, data))


def build_model(spec: RunSpec, shape: Shape, base: Variant | None = None) -> Variant:
    """Builds a spec's model, untrained.

    Args:
        spec: of the run.
        shape: of the data.
        base: the trained model that this one is built on; where the spec names a base, and none is
            given, it is built on an untrained one.
    """
    if base is None and spec.base is not None:
        base = build_model(spec.base, shape).requires_grad_(False).eval()
    config = registry.variant(spec.variant).Config.model_validate(spec.hyperparameters)
    return registry.build(spec.variant, shape=shape, config=config, base=base)


def _trained(spec: RunSpec, shape: Shape, upper: RunFolder) -> Variant:
    """Loads the trained, frozen model of a run in the same results folder as `upper`."""
    folder = upper.sibling(spec.run_id)
    record, weights = folder.read(), folder.weights
    if record is None or not weights.exists() or sha256_of(weights) != record.weights_sha256:
        raise InputError(
            f"{weights} is not what its record says: remove that run's folder to re-run it"
        )
    model = build_model(spec, shape)
    model.load_state_dict(load_file(weights))
    return model.requires_grad_(False).eval()


def _task(spec: RunSpec, model: Variant, data: TaskData) -> tasks.Task[Any]:
    name = registry.available()[spec.variant].task
    return tasks.task_class(name, spec.dataset)(model, data, seed=spec.seed)
