"""Computes convolutions by faster algorithms, to the same result up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.images import channels_last
from models.layers.minimal_filters import Winograd

MIN_CHANNELS = 64
"""With fewer channels, the saved products of a minimal filter do not make up for its transforms."""


class MinimalConvolution(nn.Conv2d):
    """Convolves images with stride 1, by a minimal filter where `uses_minimal_filters` says so.

    A result of minimal filters has its channels innermost in memory.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, padding: int = 0) -> None:
        super().__init__(inputs, outputs, kernel, padding=padding)
        self.border = padding

    def forward(self, x: Tensor) -> Tensor:
        """Convolves images.

        Args:
            x: (batch, channels, height, width).

        Returns:
            (batch, output channels, rows, columns).
        """
        if not uses_minimal_filters(self):
            return super().forward(x)
        kernel = self.kernel_size[0]
        rows, columns = (side + 2 * self.border - kernel + 1 for side in x.shape[2:])
        geometry = Winograd(kernel=kernel, rows=rows, columns=columns)
        inputs = geometry.transform_inputs(x.permute(0, 2, 3, 1), border=self.border)
        products = torch.bmm(
            inputs, geometry.transform_weights(self.weight.permute(1, 2, 3, 0).contiguous())
        )
        return geometry.join_tiles(geometry.transform_outputs(products, self.bias)).permute(
            0, 3, 1, 2
        )


def relu_then_stride_2(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Computes second(relu(first(x))), where neither convolution pads.

    The image is split into its four phases: even or odd rows, even or odd columns. `first` computes
    each phase separately, so that no large tensor is rearranged for `second`.

    Args:
        x: (batch, channels, height, width).
        first: convolution of stride 1, with a bias.
        second: convolution of stride 2, with a bias.

    Returns:
        (batch, channels of `second`, rows, columns).
    """
    reach, kernel = first.kernel_size[0], second.kernel_size[0]
    height, width = (side - (side - reach + 1 - kernel) % 2 for side in x.shape[2:])

    def phase(i: int, j: int) -> Tensor:
        seen = channels_last(x[:, :, i:height, j:width])
        return F.conv2d(seen, first.weight, first.bias, stride=2).relu()

    return _convolve_phases(phase, (height - reach + 1, width - reach + 1), second)


def stride_2(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Computes conv(x) for a convolution of stride 2 without padding, as a sum over four phases.

    Args:
        x: (batch, channels, height, width).
        conv: the convolution, with a bias.

    Returns:
        (batch, channels of `conv`, rows, columns).
    """
    height, width = x.shape[2:]
    return _convolve_phases(lambda i, j: x[:, :, i::2, j::2], (height, width), conv)


def _convolve_phases(
    phase: Callable[[int, int], Tensor], size: tuple[int, int], conv: nn.Conv2d
) -> Tensor:
    """Computes a convolution of stride 2 as the sum of four convolutions of stride 1 (polyphase).

    Each of the four reads the pixels with even or odd row and even or odd column. Where minimal
    filters are used, the four are summed before the output transform, which is then computed once.

    Args:
        phase: takes (i, j) of 0 or 1, and returns every second row from i and every second column
            from j of the input.
        size: height and width of the input.
        conv: the convolution, with a bias and a square kernel.

    Returns:
        (batch, channels of `conv`, rows, columns).
    """
    kernel = conv.kernel_size[0]
    rows, columns = ((side - kernel) // 2 + 1 for side in size)
    starts = list(product((0, 1), (0, 1)))
    if not uses_minimal_filters(conv):
        parts: list[Tensor] = []
        for i, j in starts:
            taps = conv.weight[:, :, i::2, j::2]
            seen = phase(i, j)[:, :, : rows + taps.shape[2] - 1, : columns + taps.shape[3] - 1]
            parts.append(F.conv2d(seen, taps, None if parts else conv.bias))
        return sum(parts[1:], parts[0])
    geometry = Winograd(kernel=(kernel + 1) // 2, rows=rows, columns=columns)
    taps = conv.weight.permute(1, 2, 3, 0).contiguous()
    sums: Tensor | None = None
    for start in starts:
        inputs = geometry.transform_inputs(phase(*start).permute(0, 2, 3, 1))
        weights = geometry.transform_weights(taps, start=start, step=2)
        sums = torch.bmm(inputs, weights) if sums is None else sums.baddbmm_(inputs, weights)
    assert sums is not None
    return geometry.join_tiles(geometry.transform_outputs(sums, conv.bias)).permute(0, 3, 1, 2)


def uses_minimal_filters(conv: nn.Conv2d) -> bool:
    """Says whether a convolution is computed by minimal filters: with many channels, on a CPU.

    bfloat16 (autocast) is too coarse for the differences in a minimal filter, and GPUs have fast
    convolutions of their own.

    Args:
        conv: the convolution.

    Returns:
        True for minimal filters.
    """
    here = conv.weight.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return here and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
