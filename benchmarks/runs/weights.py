"""Reads and writes the weights of a trained model: a safetensors file that describes its model.

The checksum of weights is the SHA-256 of a safetensors file with the tensors and no metadata. Files
of older versions are such files, so that their records stay valid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmarks.provenance import code_version
from benchmarks.records.atomic_files import write_atomically
from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.folders import RunFolder
from benchmarks.records.model_description import METADATA_KEY, ModelDescription, StoredShape
from benchmarks.records.spec import RunSpec
from models.variant import ClipShape, ImageShape, PointShape, Shape

_KINDS: dict[str, type[Shape]] = {"images": ImageShape, "clips": ClipShape, "points": PointShape}


class Weights(NamedTuple):
    """Holds the content of a weights file."""

    path: Path
    state: dict[str, Tensor]
    """The tensors by name, on the CPU."""
    description: ModelDescription | None
    """None: an older version wrote the file, and the record of its run describes the model."""


def save_weights(
    model: nn.Module,
    spec: RunSpec,
    shape: Shape,
    folder: RunFolder,
    *,
    classes: tuple[str, ...] = (),
) -> str | None:
    """Writes the weights of a model and its description into the folder of its run.

    Args:
        model: the model.
        spec: the spec of the run.
        shape: the shape of a sample.
        folder: the folder of the run.
        classes: the names of the classes by label; empty if there are none.

    Returns:
        The checksum of the weights; None if the model has no weights, and then nothing is written.

    Raises:
        OSError: if the file cannot be written.
    """
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if not state:
        return None
    checksum = checksum_of(state)
    description = ModelDescription(
        spec=spec,
        shape=stored(shape),
        classes=classes,
        weights_sha256=checksum,
        code_version=code_version(),
    )
    # Sorted, because a spec that was read from a record has its fields in another order.
    text = json.dumps(description.model_dump(mode="json"), sort_keys=True)
    content = save(state, metadata={METADATA_KEY: text})
    write_atomically(folder.weights, content)
    return checksum


def checksum_of(state: Mapping[str, Tensor]) -> str:
    """Computes the checksum of weights, which their record holds.

    Args:
        state: the tensors by name.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(save(dict(state))).hexdigest()


def read_weights(path: Path) -> Weights:
    """Reads a weights file that describes its model, and checks the tensors' checksum in it.

    Args:
        path: the file.

    Returns:
        The tensors and the description of the model.

    Raises:
        InputError: if the file does not exist, is damaged, or describes a model in a way that this
            version does not know.
    """
    weights = _read(path)
    description = weights.description
    if description is not None and checksum_of(weights.state) != description.weights_sha256:
        raise InputError(
            f"{path} does not match the checksum in it: its tensors were changed after the "
            "training: restore the file, or remove the run's folder to re-run the run"
        )
    return weights


def _read(path: Path) -> Weights:
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
        state = load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: name a run that has trained weights") from None
    except SafetensorError as error:
        raise InputError(
            f"{path} is not a readable safetensors file ({error}): restore the file, or remove the "
            "run's folder to re-run the run"
        ) from None
    if text is None:
        return Weights(path, state, None)
    try:
        return Weights(path, state, ModelDescription.model_validate_json(text))
    except ValidationError as error:
        raise InputError(
            f"the description in {path} is not one of this version ({first_fault(error)}): use the "
            "version of capsbench that wrote the file"
        ) from None


def weights_of(folder: RunFolder) -> Weights:
    """Reads the weights of a run, and checks that they are those of its record.

    Args:
        folder: the folder of the run.

    Returns:
        The tensors and the description of the model.

    Raises:
        InputError: if the run has no record, or the weights do not match it.
    """
    record = folder.read()
    fault = InputError(
        f"{folder.weights} does not match the record of its run: remove the run's folder to re-run "
        "it"
    )
    if record is None or not folder.weights.exists():
        raise fault
    weights = _read(folder.weights)
    description = weights.description
    if checksum_of(weights.state) != record.weights_sha256 or (
        description is not None and description.spec != record.spec
    ):
        raise fault
    return weights


def load_into(model: nn.Module, weights: Weights) -> None:
    """Copies weights into a model.

    Args:
        model: the model; its weights are overwritten.
        weights: the content of a weights file.

    Raises:
        InputError: if the model has other tensors than the file; then no weight is changed.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.state.items()}
    if own != given:
        name = sorted(dict(own.items() ^ given.items()))[0]
        raise InputError(
            f"the weights in {weights.path} do not fit the model of this version of the code: "
            f"{name} is {_size(given.get(name))} in the file and {_size(own.get(name))} in the "
            "model: use the version of capsbench that trained it"
        )
    model.load_state_dict(weights.state)


def stored(shape: Shape) -> StoredShape:
    """Converts the shape of a sample for the description of a model."""
    kind = next(kind for kind, cls in _KINDS.items() if isinstance(shape, cls))
    return StoredShape(kind=kind, sizes=shape._asdict())


def restored(shape: StoredShape) -> Shape:
    """Converts a stored shape to the shape that a model takes.

    Raises:
        TypeError: if a size is missing or unknown.
    """
    return _KINDS[shape.kind](**shape.sizes)


def _size(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else " × ".join(map(str, shape)) or "a number"
