"""Initialises weights as Sonnet 1 does, the library of the authors of stacked capsules."""

from __future__ import annotations

from torch import Tensor, nn


def truncated_normal_(weight: Tensor, *, std: float) -> Tensor:
    """Fills a weight from a normal distribution with mean 0, truncated at two deviations.

    Args:
        weight: of any shape; overwritten.
        std: standard deviation of the normal distribution before it is truncated.

    Returns:
        The same weight.
    """
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def sonnet_normal_(weight: Tensor, inputs: int) -> Tensor:
    """Fills a weight with Sonnet's default, a truncated normal distribution.

    Its deviation is 1/√inputs before truncation. torch's default has about half this deviation.
    After the five layers of a part encoder, torch's default gives all images nearly equal poses,
    and training first leads to blank reconstructions.

    Args:
        weight: of any shape; overwritten.
        inputs: how many products each output is the sum of.

    Returns:
        The same weight.
    """
    return truncated_normal_(weight, std=inputs**-0.5)


def initialise_as_sonnet(model: nn.Module) -> None:
    """Initialises convolutions and linear layers as Sonnet 1 does: normal weights, zero biases.

    Args:
        model: the weights and biases of its convolutions and linear layers are overwritten.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            sonnet_normal_(layer.weight, inputs=layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
