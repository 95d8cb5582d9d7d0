"""Standardises, rescales and shifts images, and changes their contrast, by whole batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.variant import Hyperparameters


class Rescale(nn.Module):
    """Doubles (bilinear) or halves (area mean) images until both sides are within [low, high].

    (batch, channels, height, width) to (batch, channels, *size). Raises ValueError for a size that
    no such doubling or halving brings into the range.
    """

    def __init__(self, height: int, width: int, *, low: int, high: int) -> None:
        super().__init__()
        up = down = 1
        while min(height, width) * up < low:
            up *= 2
        if up == 1:
            while max(height, width) > high * down:
                down *= 2
        self.up, self.down = up, down
        self.size = (height * up // down, width * up // down)
        divisible = height % down == 0 and width % down == 0
        if not divisible or min(self.size) < low or max(self.size) > high:
            raise ValueError(
                f"images of {height}×{width} cannot be doubled or halved to sides "
                f"from {low} to {high} pixels"
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.up > 1:
            return F.interpolate(x, scale_factor=self.up, mode="bilinear", align_corners=False)
        return F.avg_pool2d(x, self.down) if self.down > 1 else x


STANDARDISED_FLOOR = 0.02
"""Added to an image's deviation, so that the noise of a blank image is not amplified."""


def standardise(x: Tensor) -> Tensor:
    """Subtracts each image's mean and divides by its standard deviation, over pixels and channels.

    0.02 is added to the deviation. A network then reads photographs of any exposure with the same
    mean, and with nearly the same deviation.

    Args:
        x: (batch, channels, height, width) in [0, 1].

    Returns:
        The same shape, each image with mean 0 and a deviation of at most 1.
    """
    deviation, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
    return (x - mean) / (deviation + STANDARDISED_FLOOR)


class StandardisedConfig(Hyperparameters):
    """Adds the choice whether a network reads standardised images."""

    standardise: bool = Field(
        False,
        description="each image minus its mean, divided by its deviation, before the network",
    )

    def prepare(self, x: Tensor) -> Tensor:
        """Returns images as the network reads them.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            The images, standardised if `standardise` is true.
        """
        return standardise(x) if self.standardise else x


STANDARDISED: Mapping[str, Mapping[str, Any]] = {
    dataset: {"standardise": True} for dataset in ("svhn", "cifar10")
}
"""Presets of variants that read photographs standardised, and digits on black as they are."""


def random_contrast(x: Tensor, strength: float) -> Tensor:
    """Multiplies each image's distance from its mean by a random factor of its own.

    The mean is that of each channel over the image's pixels. Values are not clamped.

    Args:
        x: (batch, channels, height, width).
        strength: largest distance of a factor from 1. Factors are drawn uniformly from torch's
            global generator; with strength 0 none are drawn.

    Returns:
        The same shape.
    """
    if strength == 0:
        return x
    factor = 1 + strength * (2 * torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) - 1)
    mean = x.mean((2, 3), keepdim=True)
    return mean + factor * (x - mean)


def random_shift(x: Tensor, pixels: int) -> Tensor:
    """Each image moved by its own whole number of pixels, up to `pixels` either way; zeros enter.

    x: (batch, channels, height, width); draws from torch's global generator.
    """
    if pixels == 0:
        return x
    batch, _, height, width = x.shape
    down, right = torch.randint(2 * pixels + 1, (2, batch, 1), device=x.device)
    rows = torch.arange(height, device=x.device) + down
    columns = torch.arange(width, device=x.device) + right
    sample = torch.arange(batch, device=x.device)[:, None, None]
    padded = F.pad(x, [pixels] * 4).permute(0, 2, 3, 1)
    return padded[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
