"""Loads the trained model of a run, to be used on images, clips or sets of points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.folders import RECORD, RunFolder
from benchmarks.records.model_description import ModelDescription, Preprocessing
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec
from benchmarks.runs.costs import sample_size
from benchmarks.runs.preparation import build_model, config_of, shape_of
from benchmarks.runs.stored_runs import record_of
from benchmarks.runs.weights import Weights, load_into, read_weights, restored, weights_of
from models import registry
from models.variant import (
    Coded,
    Hyperparameters,
    PointShape,
    Shape,
    Variant,
)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Holds a trained model with what is needed to use it."""

    model: Variant
    """The model, in evaluation mode; its parameters have no gradients."""
    spec: RunSpec
    """The spec of the run that trained the model."""
    shape: Shape
    """The shape of a sample."""
    preprocessing: Preprocessing
    """How pixels become the input of the model."""
    classes: tuple[str, ...] = ()
    """The names of the classes by label; empty: the labels are their names, or there are none."""

    def class_name(self, label: int) -> str:
        """Returns the name of a class; its label if it has no other name."""
        return self.classes[label] if self.classes else str(label)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Returns the typed hyper-parameters."""
        return self.model.config

    @property
    def task(self) -> str:
        """Returns `classification`, `autoencoding` or `prediction`."""
        return registry.available()[self.spec.variant].task

    @property
    def sample_size(self) -> tuple[int, ...]:
        """Returns the size of one input sample.

        Returns:
            (channels, height, width); for prediction (past frames, channels, height, width); for
            sets of points (points, 3).
        """
        return sample_size(self.shape)

    def tensor(self, pixels: np.ndarray) -> Tensor:
        """Converts an array of samples to the input of the model.

        Args:
            pixels: (samples, *sample_size): uint8, or floating-point numbers in [0, 1]. For sets of
                points, any floating-point numbers.

        Returns:
            float32 of the same shape, on the model's device.

        Raises:
            InputError: if the array has another shape, or its numbers are neither uint8 nor
                floating-point numbers in [0, 1].
        """
        if pixels.shape[1:] != self.sample_size:
            raise InputError(
                f"samples of {_times(pixels.shape[1:])} do not fit the model, which takes "
                f"{_times(self.sample_size)} per sample: give an array of the shape (samples, "
                f"{', '.join(map(str, self.sample_size))})"
            )
        return self.scaled(pixels)

    def scaled(self, pixels: np.ndarray) -> Tensor:
        """Converts numbers of any shape to those that the model takes.

        Args:
            pixels: uint8, or floating-point numbers in [0, 1]; coordinates of points may be any
                finite floating-point numbers.

        Returns:
            float32 of the same shape, on the model's device.

        Raises:
            InputError: if the numbers are others.
        """
        if pixels.dtype == np.uint8:
            numbers = pixels.astype(np.float32) / np.float32(self.preprocessing.divide_by)
        elif np.issubdtype(pixels.dtype, np.floating):
            numbers = pixels.astype(np.float32)
        else:
            raise InputError(
                f"the numbers are {pixels.dtype}: give uint8 from 0 to 255, or floating-point "
                "numbers from 0 to 1"
            )
        if not np.isfinite(numbers).all():
            raise InputError("some numbers are not finite: remove them")
        least, most = numbers.min(initial=0), numbers.max(initial=0)
        if not isinstance(self.shape, PointShape) and (least < 0 or most > 1):
            raise InputError(
                f"the floating-point numbers are from {least:g} to {most:g}: scale them to 0 to 1, "
                "or give uint8 from 0 to 255"
            )
        device = next((p.device for p in self.model.state_dict().values()), torch.device("cpu"))
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(device)

    def predict(self, samples: Tensor) -> Any:
        """Computes the output of the model, in the precision of its run and without gradients.

        Args:
            samples: (samples, *sample_size) float32, as `tensor` returns them.

        Returns:
            Scores (samples, classes) for classification, `Coded` for autoencoding and
            segmentation, future frames (samples, frames, channels, height, width) for prediction.
        """
        narrow = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.spec.precision)
        with (
            torch.inference_mode(),
            torch.autocast(samples.device.type, narrow, enabled=narrow is not None),
        ):
            output: Tensor | Coded = self.model(samples)
        return output


def load_model(
    run: str | Path | RunRecord, *, results: Path | str = Path("results"), device: str = "cpu"
) -> TrainedModel:
    """Loads the trained model of a run.

    Args:
        run: the id of a run, its record, the path of its folder, or the path of a weights file. A
            weights file of this version needs nothing beside it.
        results: the results folder that has the run; not used for a path.
        device: the device of the model.

    Returns:
        The model, with its shape, hyper-parameters and preprocessing.

    Raises:
        InputError: if there is no such run, the run failed, or its weights do not match its record,
            their own description or the model of this version.
    """
    results = Path(results)
    run_id = run.run_id if isinstance(run, RunRecord) else str(run)
    path = Path(run_id)
    if path.is_file():
        return _from_file(path, device)
    if (path / RECORD).is_file():
        results, run_id = path.absolute().parents[1], path.absolute().name
    elif len(path.parts) > 1 or path.suffix == ".safetensors":
        raise InputError(f"{path} is neither a weights file nor the folder of a run")
    record = record_of(results, run_id)
    folder = RunFolder(results.absolute(), run_id)
    if record.status == "failed":
        raise InputError(f"run {record.run_id} failed and has no model: {record.reason}")
    if record.weights_sha256 is None:  # a variant without weights
        return _assembled(record.spec, shape_of(record.spec), None, Preprocessing(), device)
    weights = weights_of(folder)
    if weights.description is not None:
        return _described(weights, weights.description, device)
    return _assembled(record.spec, shape_of(record.spec), weights, Preprocessing(), device)


def _from_file(path: Path, device: str) -> TrainedModel:
    weights = read_weights(path)
    if weights.description is None:
        raise InputError(
            f"{path} does not describe its model: an older version of capsbench or another program "
            "wrote it: name the run that trained it instead, which has a record"
        )
    return _described(weights, weights.description, device)


def _described(weights: Weights, description: ModelDescription, device: str) -> TrainedModel:
    try:
        shape = restored(description.shape)
    except TypeError as error:
        raise InputError(
            f"the shape in {weights.path} is not one of this version ({error}): use the version of "
            "capsbench that wrote the file"
        ) from None
    trained = _assembled(description.spec, shape, weights, description.preprocessing, device)
    return replace(trained, classes=description.classes)


def _assembled(
    spec: RunSpec,
    shape: Shape,
    weights: Weights | None,
    preprocessing: Preprocessing,
    device: str,
) -> TrainedModel:
    """Builds the model of a spec and copies the weights into it."""
    if spec.variant_sha256 is not None and registry.added_file(spec.variant_sha256) is None:
        raise InputError(
            f"{spec.variant} is a variant of a user's file, which is not known here: load the run "
            "from its results folder, or call `benchmarks.add_variants` with the file before"
        )
    if spec.variant not in registry.available():
        raise InputError(registry.unknown_variant(spec.variant))
    try:
        config_of(spec)
    except ValidationError as error:
        raise InputError(
            f"the hyper-parameters of run {spec.run_id} are not those of this version's "
            f"{spec.variant} ({first_fault(error)}): use the version of capsbench that trained it"
        ) from None
    # Building draws first weights, which the user's own random numbers must not depend on.
    with torch.random.fork_rng(devices=[]):
        model = build_model(spec, shape)
    if weights is not None:
        load_into(model, weights)
    model.requires_grad_(False).eval().to(device)
    return TrainedModel(model, spec, shape, preprocessing)


def _times(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes)) or "one number"
