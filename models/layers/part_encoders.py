"""Convolutional encoders whose maps are pooled, with attention, to one vector a part."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.layers.convolutions import MinimalConvolution

EncoderKind = Literal["conv", "residual", "wide"]


class AttentionPooling(nn.Module):
    """Pools maps, with an attention for each part, to one vector per part.

    A learned bias is added to each channel at each position, since a part's pose includes where it
    is, and convolutions do the same at all positions. A 1×1 convolution then gives each part's
    numbers and its attention at each position, and a part's vector is the mean of its numbers,
    weighted by the softmax of its attention over positions. No activation follows, so that numbers
    may be negative. (Kosiorek et al. 2019, section 2.2; the bias is in the authors' code only,
    where it begins at 0, too.)

    Args:
        maps: (channels, height, width) of the maps.
        parts: number of parts.
        dims: numbers in a part's vector.
    """

    def __init__(self, *, maps: tuple[int, int, int], parts: int, dims: int) -> None:
        super().__init__()
        self.parts = parts
        self.position = nn.Parameter(torch.zeros(maps))
        self.numbers = nn.Linear(maps[0], parts * dims)
        self.attention = nn.Linear(maps[0], parts)

    def forward(self, maps: Tensor) -> Tensor:
        """Pools maps to one vector per part.

        Args:
            maps: (batch, channels, height, width).

        Returns:
            (batch, parts, dims).
        """
        positions = (maps + self.position).flatten(2).transpose(1, 2)
        attention = self.attention(positions).softmax(1).to(positions.dtype)
        pooled = attention.transpose(1, 2) @ positions
        # The layer of a mean over positions equals the mean of the layer, and is computed once.
        weight = self.numbers.weight.unflatten(0, (self.parts, -1))
        bias = self.numbers.bias.unflatten(0, (self.parts, -1))
        numbers = pooled.transpose(0, 1) @ weight.transpose(1, 2)
        return (numbers.transpose(0, 1) + bias).contiguous()


class Residual(nn.Module):
    """Two 3×3 convolutions with group norm, added to what they read; the first may halve sides."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norms = nn.ModuleList(_norm(channels) for channels in (inputs, outputs))
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(self.norms[0](x).relu())
        return self.shortcut(x) + self.second(self.norms[1](hidden).relu())


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels)


def encoder(kind: EncoderKind, *, channels: int, width: int, side: int) -> nn.Sequential:
    """Images (batch, channels, height, width) to maps (batch, width, ...).

    conv: the authors', 3×3 convolutions with strides 2, 2, 1, 1 and ReLU, without padding; images
    with a side below 23 pixels are padded by one at each, since nothing would be left of them; many
    channels of stride 1 are convolved by minimal filters.
    wide: 5×5 with stride 2 and padding, three times, to width/2, width and width; ReLU. residual: a
    convolution of stride 2 to width/2, a residual block of stride 2 to width, one of stride 1.
    """
    half = max(1, width // 2)
    if kind == "conv":
        pad = int(side < 23)
        layers: list[nn.Module] = []
        for inputs, stride in zip((channels, width, width, width), (2, 2, 1, 1), strict=True):
            if stride == 1:
                layers += [MinimalConvolution(inputs, width, 3, padding=pad), nn.ReLU()]
            else:  # a convolution does not keep its output: ReLU may overwrite it
                conv = nn.Conv2d(inputs, width, 3, stride=stride, padding=pad)
                layers += [conv, nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)
    if kind == "wide":
        layers = []
        for inputs, outputs in ((channels, half), (half, width), (width, width)):
            layers += [nn.Conv2d(inputs, outputs, 5, stride=2, padding=2), nn.ReLU()]
        return nn.Sequential(*layers)
    return nn.Sequential(
        nn.Conv2d(channels, half, 3, stride=2, padding=1),
        Residual(half, width, stride=2),
        Residual(width, width, stride=1),
        _norm(width),
        nn.ReLU(),
    )


def maps_shape(features: nn.Module, image: tuple[int, int, int]) -> tuple[int, int, int]:
    """Finds the shape of an encoder's maps by encoding one blank image.

    Args:
        features: an encoder, as `encoder` makes it.
        image: (channels, height, width) of the images.

    Returns:
        (channels, height, width) of the maps.
    """
    with torch.no_grad():
        channels, height, width = features(torch.zeros(1, *image)).shape[1:]
    return channels, height, width
