"""Convolutions computed by another route than their definition, to the same result."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def relu_then_stride_2(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """second(relu(first(x))), where `first` has stride 1, `second` stride 2, neither padding.

    The strided convolution is the sum of four without stride, over the four lattices of pixels
    with even or odd row and column (polyphase decomposition): as many operations, a third less
    time on CPUs. `first` computes each lattice apart, so that nothing large is rearranged.

    x: (batch, channels, height, width).
    """
    reach, kernel = first.kernel_size[0], second.kernel_size[0]
    rows, columns = ((side - reach + 1 - kernel) // 2 + 1 for side in x.shape[2:])
    phases: list[Tensor] = []
    for i in (0, 1):
        for j in (0, 1):
            weight = second.weight[:, :, i::2, j::2]
            bottom = i + 2 * (rows + weight.shape[2] - 2) + reach
            right = j + 2 * (columns + weight.shape[3] - 2) + reach
            seen = x[:, :, i:bottom, j:right].contiguous(memory_format=torch.channels_last)
            lattice = F.conv2d(seen, first.weight, first.bias, stride=2).relu()
            phases.append(F.conv2d(lattice, weight, None if phases else second.bias))
    return sum(phases[1:], phases[0])


def channels_last(x: Tensor) -> Tensor:
    """x: (batch, channels, height, width) with its channels innermost in memory.

    Its strides say so for a single channel too, where `Tensor.contiguous` leaves them as they are,
    and convolutions then answer in the other layout.
    """
    batch, channels, height, width = x.shape
    inner = x.permute(0, 2, 3, 1).flatten().view(batch, height, width, channels)
    return inner.permute(0, 3, 1, 2)


def pad_same(x: Tensor, *, kernel: int, stride: int) -> Tensor:
    """Pads images with zeros, as TensorFlow's padding `SAME` does before a convolution.

    A convolution without padding then returns images with sides of ⌈side / stride⌉ pixels.

    Args:
        x: (batch, channels, height, width).
        kernel: the side of the convolution's kernel, at least `stride`.
        stride: the convolution's stride.

    Returns:
        The padded images. Of an odd number of added rows or columns, one more is below or right.
    """
    pads: list[int] = []
    for side in (x.shape[3], x.shape[2]):
        added = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        pads += [added // 2, added - added // 2]
    return F.pad(x, pads)
