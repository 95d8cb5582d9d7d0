"""Initial weights of the library that stacked capsules were published with."""

from __future__ import annotations

from torch import Tensor, nn


def sonnet_normal_(weight: Tensor, inputs: int) -> Tensor:
    """Fills a weight with Sonnet's default: a normal of deviation 1/√inputs, cut at two deviations.

    torch's own default has about half the deviation. Over the five layers of a part encoder the
    poses of all images then begin nearly equal, and training goes to a blank image first.

    Args:
        weight: of any shape; changed in place.
        inputs: how many numbers each output sums.

    Returns:
        The same weight.
    """
    deviation = inputs**-0.5
    return nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)


def initialise_as_sonnet(model: nn.Module) -> None:
    """Initialises convolutions and linear layers as Sonnet 1 does: normal weights, zero biases.

    Args:
        model: its layers, and those within them, are changed in place.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            sonnet_normal_(layer.weight, inputs=layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
