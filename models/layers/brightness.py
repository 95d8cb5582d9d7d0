"""Sets how bright the frames of an untrained predictor are."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import nn

from models.variant import PredictionHyperparameters


class BrightnessConfig(PredictionHyperparameters):
    """Adds the brightness from which learned frames start."""

    initial_brightness: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="brightness of untrained frames, set by the last layer's bias",
    )


def set_initial_brightness(
    last: nn.Conv2d | nn.Linear, brightness: float, *, activation: Literal["sigmoid", "tanh"]
) -> None:
    """Sets a predictor's last bias so that its frames are this bright before any training.

    Most of a frame is background, and the logits 0 are grey: a predictor that starts from them
    spends its first hundred steps on going dark.

    Args:
        last: the layer before the activation, with a bias, which is overwritten.
        brightness: of a pixel, between 0 and 1, where the layer's weighted sum is 0.
        activation: what follows the layer: `sigmoid` to [0, 1], or `tanh` to [−1, 1], which stands
            for [0, 1].
    """
    logit = math.log(brightness / (1 - brightness))
    assert last.bias is not None
    nn.init.constant_(last.bias, logit if activation == "sigmoid" else logit / 2)
