"""Sets the brightness of frames that a predictor returns before any training."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import nn

from models.variant import PredictionHyperparameters


class BrightnessConfig(PredictionHyperparameters):
    """Adds the brightness of the frames of an untrained predictor."""

    initial_brightness: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="brightness of frames before training, set by the last layer's bias",
    )


def set_initial_brightness(
    last: nn.Conv2d | nn.Linear, brightness: float, *, activation: Literal["sigmoid", "tanh"]
) -> None:
    """Sets the bias of a predictor's last layer so that untrained frames have a given brightness.

    Most of a frame is black background, while logits of 0 are grey. A predictor that starts from
    grey frames spends its first hundred steps on darkening them.

    Args:
        last: the layer before the activation; its bias is overwritten.
        brightness: brightness of a pixel where the layer's weighted sum is 0, between 0 and 1.
        activation: activation after the layer: `sigmoid` to [0, 1], or `tanh` to [−1, 1], which is
            mapped to [0, 1] later.
    """
    logit = math.log(brightness / (1 - brightness))
    assert last.bias is not None
    nn.init.constant_(last.bias, logit if activation == "sigmoid" else logit / 2)
