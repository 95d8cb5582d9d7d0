"""Encodes images by convolutions, and pools the maps to one vector per part."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.layers.convolutions import MinimalConvolution

EncoderKind = Literal["conv", "residual", "wide"]


class AttentionPooling(nn.Module):
    """Pools maps, with one attention per part, to one vector per part.

    A learned bias is added to each channel at each position: a part's pose depends on its position,
    while convolutions are the same at all positions. A 1×1 convolution then computes each part's
    numbers and attention logit at each position. A part's vector is the mean of its numbers over
    positions, weighted by the softmax of its attention. No activation follows, so that numbers may
    be negative. (Kosiorek et al. 2019, section 2.2; the bias is in the authors' code only, where it
    is also 0 at first.)
    """

    def __init__(self, *, maps: tuple[int, int, int], parts: int, dims: int) -> None:
        """Builds the layers.

        Args:
            maps: (channels, height, width) of the maps.
            parts: number of parts.
            dims: numbers in a part's vector.
        """
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
        # A linear layer of a mean over positions equals the mean of the layer, and costs less.
        weight = self.numbers.weight.unflatten(0, (self.parts, -1))
        bias = self.numbers.bias.unflatten(0, (self.parts, -1))
        numbers = pooled.transpose(0, 1) @ weight.transpose(1, 2)
        return (numbers.transpose(0, 1) + bias).contiguous()


class Residual(nn.Module):
    """Adds two 3×3 convolutions, each after group norm and ReLU, to a 1×1 convolution of the input.

    The first convolution may halve the sides.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norms = nn.ModuleList(_norm(channels) for channels in (inputs, outputs))
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the block.

        Args:
            x: (batch, inputs, height, width).

        Returns:
            (batch, outputs, ⌈height/stride⌉, ⌈width/stride⌉).
        """
        hidden = self.first(self.norms[0](x).relu())
        return self.shortcut(x) + self.second(self.norms[1](hidden).relu())


def _norm(channels: int) -> nn.GroupNorm:
    """Builds group norm with a single group."""
    return nn.GroupNorm(1, channels)


def encoder(kind: EncoderKind, *, channels: int, width: int, side: int) -> nn.Sequential:
    """Builds a convolutional encoder.

    - `conv`: the authors' 3×3 convolutions with strides 2, 2, 1, 1 and ReLU, without padding.
      Images with a side below 23 pixels are padded by one pixel in each convolution, since nothing
      would be left of them. The convolutions of stride 1 use minimal filters if they have many
      channels.
    - `wide`: three 5×5 convolutions with stride 2, padding and ReLU, to width/2, width and width
      channels.
    - `residual`: a convolution of stride 2 to width/2 channels, a residual block of stride 2 to
      width channels, and a residual block of stride 1.

    Args:
        kind: the kind of encoder.
        channels: channels of the images.
        width: channels of the maps.
        side: shorter side of the images in pixels.

    Returns:
        A module from images (batch, channels, height, width) to maps (batch, width, height',
        width').
    """
    half = max(1, width // 2)
    if kind == "conv":
        pad = int(side < 23)
        layers: list[nn.Module] = []
        for inputs, stride in zip((channels, width, width, width), (2, 2, 1, 1), strict=True):
            if stride == 1:
                layers += [MinimalConvolution(inputs, width, 3, padding=pad), nn.ReLU()]
            else:  # the backward pass does not need a convolution's output: ReLU may overwrite it
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
    """Finds the shape of an encoder's maps by encoding a blank image.

    Args:
        features: the encoder.
        image: (channels, height, width) of the images.

    Returns:
        (channels, height, width) of the maps.
    """
    with torch.no_grad():
        channels, height, width = features(torch.zeros(1, *image)).shape[1:]
    return channels, height, width
