"""Prepares a run: loads its data, builds its model and its task."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from benchmarks import datasets, tasks
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.frames import Frames
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import RunSpec
from benchmarks.runs.weights import load_into, weights_of
from models import registry
from models.variant import Hyperparameters, Shape, Variant


class Prepared(NamedTuple):
    """Holds what a run needs before its first training step."""

    spec: RunSpec
    folder: RunFolder
    data: TaskData
    model: Variant
    """The model with its first weights, on the spec's device."""
    task: tasks.Task[Any]

    def another_task(self) -> tasks.Task[Any]:
        """Makes a second task, which shares the model and the data with `task` and nothing else."""
        return _task(self.spec, self.model, self.data)


def config_of(spec: RunSpec) -> Hyperparameters:
    """Makes the typed hyper-parameters of a spec."""
    return registry.variant(spec.variant).Config.model_validate(spec.hyperparameters)


def load_data(spec: RunSpec, source: DataSource) -> TaskData:
    """Loads the data of a run onto its device.

    Args:
        spec: the spec of the run.
        source: where the data is.

    Returns:
        The samples for training, validation and test.

    Raises:
        InputError: if the data cannot be read, or has another fingerprint than the spec says.
    """
    datasets.use_folder(source.root)
    config = config_of(spec)
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
            f"run {spec.run_id} was specified with other data of {spec.dataset} than that in "
            f"{data.info.path} ({data.info.state}): name the folder of the original data with "
            "--data"
        )
    return data


def prepare(spec: RunSpec, data: TaskData, folder: RunFolder) -> Prepared:
    """Builds the model of a run, with its first weights, and its task.

    If the run has a base, the base's trained weights are loaded; the base must have ended.

    Args:
        spec: the spec of the run.
        data: the data of the run.
        folder: the folder of the run; the base's folder is in the same results folder.

    Returns:
        The run before its first training step.

    Raises:
        InputError: if the base has no record, or its weights differ from the record's checksum.
    """
    torch.manual_seed(derive_seed(spec.seed, init=0))
    base = None if spec.base is None else _trained(spec.base, data.shape, folder)
    model = build_model(spec, data.shape, base)
    # The task makes the optimiser, which refers to the parameters: they must not move afterwards.
    model.to(spec.device)
    return Prepared(spec, folder, data, model, _task(spec, model, data))


def build_model(spec: RunSpec, shape: Shape, base: Variant | None = None) -> Variant:
    """Builds the untrained model of a spec.

    Args:
        spec: the spec of the run.
        shape: the shape of a sample.
        base: the trained model of the spec's base. By default, an untrained, frozen base is built
            if the spec has one.

    Returns:
        The model, on the current default device.
    """
    if base is None and spec.base is not None:
        base = build_model(spec.base, shape).requires_grad_(False).eval()
    config = config_of(spec)
    return registry.build(spec.variant, shape=shape, config=config, base=base)


def shape_of(spec: RunSpec) -> Shape:
    """Looks up the shape of a run's samples, without reading data."""
    task = registry.available()[spec.variant].task
    return datasets.find(spec.dataset).shape_of(task, Frames.of(config_of(spec)))


def class_names_of(spec: RunSpec) -> tuple[str, ...]:
    """Looks up the names of the classes that the model of a run scores.

    Args:
        spec: the spec of the run.

    Returns:
        The names by label; empty if the labels are their names, or the model scores no classes.
    """
    if registry.available()[spec.variant].task != "classification":
        return ()
    return datasets.find(spec.dataset).class_names


def unused_terms(spec: RunSpec) -> set[str]:
    """Lists the loss terms of a run that have weight zero.

    The model is built on PyTorch's meta device, where tensors need no memory.

    Args:
        spec: the spec of a run whose model can be built.

    Returns:
        The names of the terms.
    """
    with torch.device("meta"):
        weights = build_model(spec, shape_of(spec)).loss_weights
    return {name for name, weight in weights.items() if weight == 0}


def _trained(spec: RunSpec, shape: Shape, upper: RunFolder) -> Variant:
    """Loads the trained model of a run and freezes it.

    Args:
        spec: the spec of the run.
        shape: the shape of a sample.
        upper: the folder of another run in the same results folder.
    """
    weights = weights_of(upper.sibling(spec.run_id))
    model = build_model(spec, shape)
    load_into(model, weights)
    return model.requires_grad_(False).eval()


def _task(spec: RunSpec, model: Variant, data: TaskData) -> tasks.Task[Any]:
    name = registry.available()[spec.variant].task
    return tasks.task_class(name, spec.dataset)(model, data, seed=spec.seed)
