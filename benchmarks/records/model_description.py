"""Defines what a weights file says about its model, as metadata of the safetensors file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmarks.records.spec import Count, Frozen, RunSpec

METADATA_KEY = "capsbench"
"""The entry of the metadata that holds the description, as JSON. safetensors writes several entries
in random order; one entry keeps equal files equal."""


class Preprocessing(Frozen):
    """Says how pixels become the input of a model.

    What else the variant does to its input, such as resizing or standardising, it does itself.
    """

    divide_by: float = Field(255.0, description="divisor of uint8 pixels; gives numbers in [0, 1]")
    layout: Literal["channels first"] = "channels first"


class StoredShape(Frozen):
    """Describes the samples that a model takes; the fields are those of the shape in `models`."""

    kind: Literal["images", "clips", "points"]
    sizes: dict[str, Count] = Field(description="by field, such as channels, height and width")


class ModelDescription(Frozen):
    """Describes a trained model: with its weights, this is all that is needed to use the model."""

    format: Literal[1] = 1
    spec: RunSpec = Field(description="the spec of the run that trained the model")
    shape: StoredShape
    preprocessing: Preprocessing = Preprocessing()
    classes: tuple[str, ...] = Field(
        (),
        description="names of the classes by label; empty: the labels are their names",
        exclude_if=lambda names: not names,
    )
    weights_sha256: str = Field(description="checksum of the tensors: see `runs.weights`")
    code_version: str = Field(description="hash of the source files that decide a run's numbers")
