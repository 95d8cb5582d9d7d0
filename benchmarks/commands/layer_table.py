"""Lists the layers of a model with their output shapes and numbers of parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from rich.table import Table
from torch import Tensor, nn

from benchmarks.runs.costs import sample_size
from models.variant import Variant

DEPTH = 2
"""Layers of layers are listed to this depth."""


class Layer(NamedTuple):
    """Describes one layer."""

    name: str
    """The name of the attribute, such as `network.decoder`; empty for the whole model."""
    kind: str
    """The name of its class."""
    output: tuple[int, ...] | None
    """The shape of its first output tensor for one sample, without the batch; None: the forward
    pass does not call the layer, or its output is no tensor."""
    parameters: int


def layers_of(model: Variant) -> list[Layer]:
    """Lists the layers of a model in the order of their definition, the whole model first.

    A copy of the model computes one sample on PyTorch's meta device, so neither the model nor any
    random numbers change.

    Args:
        model: the model.

    Returns:
        The layers; those whose parent lists `DEPTH` levels above them are left out.
    """
    copied = copy.deepcopy(model).to("meta").eval()
    listed = {
        name: module
        for name, module in copied.named_modules()
        if not name or name.count(".") < DEPTH
    }
    outputs: dict[str, tuple[int, ...]] = {}
    for name, module in listed.items():
        module.register_forward_hook(_noting(name, outputs))
    with torch.device("meta"), torch.no_grad():
        copied(torch.empty(1, *sample_size(model.shape)))
    return [
        Layer(
            name,
            type(module).__name__,
            outputs.get(name),
            sum(p.numel() for p in module.parameters()),
        )
        for name, module in listed.items()
    ]


def layer_table(model: Variant) -> Table:
    """Makes a table of the layers of a model that have parameters.

    Args:
        model: the model.

    Returns:
        One row per layer, in columns layer, type, output for one sample, and parameters.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("layer", "type", "output"):
        table.add_column(heading)
    table.add_column("parameters", justify="right")
    for layer in layers_of(model):
        output = "" if layer.output is None else " × ".join(map(str, layer.output))
        if layer.parameters:
            table.add_row(layer.name or "model", layer.kind, output, f"{layer.parameters:,}")
    return table


def _noting(
    name: str, outputs: dict[str, tuple[int, ...]]
) -> Callable[[nn.Module, Any, Any], None]:
    """Makes a hook that notes the shape of a layer's output."""

    def note(module: nn.Module, given: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(first, Tensor):
            outputs.setdefault(name, tuple(first.shape[1:]))

    return note
