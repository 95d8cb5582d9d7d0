"""Convolutional encoders whose maps are pooled, with attention, to one vector a part."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

EncoderKind = Literal["conv", "residual", "wide"]


class AttentionPooling(nn.Module):
    """A 1×1 convolution to each part's numbers and its attention; their mean over positions.

    Maps (batch, inputs, height, width) to (batch, parts, dims), by the softmax over positions of
    the part's attention. The convolution is the last layer: nothing cuts the numbers off at 0.
    """

    def __init__(self, *, inputs: int, parts: int, dims: int) -> None:
        super().__init__()
        self.parts = parts
        self.numbers = nn.Linear(inputs, parts * dims)
        self.attention = nn.Linear(inputs, parts)

    def forward(self, maps: Tensor) -> Tensor:
        positions = maps.flatten(2).transpose(1, 2)
        numbers = self.numbers(positions).unflatten(2, (self.parts, -1))
        attention = self.attention(positions).softmax(1).to(numbers.dtype)
        return (numbers * attention.unsqueeze(-1)).sum(1)


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
    with a side below 23 pixels, of which they would leave nothing, are padded by one at each.
    wide: 5×5 with stride 2 and padding, three times, to width/2, width and width; ReLU. residual: a
    convolution of stride 2 to width/2, a residual block of stride 2 to width, one of stride 1.
    """
    half = max(1, width // 2)
    if kind == "conv":
        pad = int(side < 23)
        layers: list[nn.Module] = []
        for inputs, stride in zip((channels, width, width, width), (2, 2, 1, 1), strict=True):
            layers += [nn.Conv2d(inputs, width, 3, stride=stride, padding=pad), nn.ReLU()]
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


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
