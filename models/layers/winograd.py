"""3×3 convolutions by fewer multiplications than their definition has.

Winograd, Arithmetic Complexity of Computations, 1980; for networks: Lavin and Gray 2016 (arXiv
1509.09308). A row of m outputs of a filter of 3 numbers takes m + 2 multiplications, not 3m:
y = Aᵀ[(G w) ⊙ (B x)], with matrices from the values of polynomials at m + 2 points (Toom and Cook).
In two dimensions each matrix is applied to rows and to columns; multiplications are then matrix
products over channels, one for each pair of points.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)
"""Beside these, infinity. Rounding errors grow with a point's powers."""
LONGEST = 4
"""Outputs of a tile; longer rows are cut. With 4 a float32 result is off by 4e-5 deviations."""
KERNEL = 3
FEWEST_CHANNELS = 64
"""Below, the products are too small to make up for the transforms."""


class Convolution(nn.Conv2d):
    """Convolves images by 3×3 filters with stride 1; channels are innermost in what it returns.

    Under autocast it does so by the definition, since bfloat16 is too coarse for the differences
    here, and so it does on a GPU.
    """

    def __init__(self, inputs: int, outputs: int, *, padding: int = 0) -> None:
        super().__init__(inputs, outputs, KERNEL, padding=padding)
        self.pad = padding

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if device != "cpu" or torch.is_autocast_enabled(device):
            return super().forward(x)
        x = F.pad(x, (self.pad, self.pad, self.pad, self.pad)) if self.pad else x
        batch, channels, height, width = x.shape
        rows, columns = (_matrices(side - KERNEL + 1, x) for side in (height, width))
        pixels = x.permute(2, 3, 0, 1).flatten(2)
        weight = self.weight.permute(2, 3, 1, 0).flatten(2)
        products = torch.bmm(
            _apply(rows.data, columns.data, pixels).view(-1, batch, channels),
            _apply(rows.filters, columns.filters, weight).view(-1, channels, self.out_channels),
        )
        products = products.view(len(rows.data), len(columns.data), -1)
        y = _apply(rows.outputs, columns.outputs, products).unflatten(2, (batch, -1))
        return (y + self.bias).permute(2, 3, 0, 1)


class _Matrices(NamedTuple):
    """The matrices of one dimension, for n multiplications."""

    outputs: Tensor
    """(outputs, n): Aᵀ."""
    filters: Tensor
    """(n, 3): G."""
    data: Tensor
    """(n, outputs + 2): B."""


def _apply(rows: Tensor, columns: Tensor, x: Tensor) -> Tensor:
    """Applies matrices to rows and columns: (i, height), (j, width), (height, width, n) to
    (i, j, n)."""
    x = (rows @ x.flatten(1)).view(len(rows), *x.shape[1:])
    return torch.bmm(columns.expand(len(x), *columns.shape), x)


def _matrices(outputs: int, like: Tensor) -> _Matrices:
    return _Matrices(*(like.new_tensor(numbers) for numbers in _numbers(outputs)))


@cache
def _numbers(outputs: int) -> tuple[list[list[float]], ...]:
    """Computes the three matrices for rows of some outputs, cut into tiles of equal lengths."""
    tiles = -(-outputs // LONGEST)
    lengths = [(outputs + tile) // tiles for tile in range(tiles)]
    blocks = [_tile(length) for length in lengths]
    count = sum(length + KERNEL - 1 for length in lengths)
    data = torch.zeros(count, outputs + KERNEL - 1, dtype=torch.float64)
    row = column = 0
    for length, (_, _, own) in zip(lengths, blocks, strict=True):
        data[row : row + len(own), column : column + len(own)] = own
        row, column = row + len(own), column + length
    return (
        torch.block_diag(*(block[0] for block in blocks)).tolist(),
        torch.cat([block[1] for block in blocks]).tolist(),
        data.tolist(),
    )


def _tile(outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Aᵀ, G and B of one tile: correlation is the transposed product of two polynomials."""
    count = outputs + KERNEL - 1
    values = _values(count, count)
    return _values(count, outputs).t(), _values(count, KERNEL), torch.linalg.inv(values).t()


def _values(count: int, powers: int) -> Tensor:
    """(count, powers): x⁰, x¹, … at each point; at infinity only the highest power counts."""
    points = torch.tensor(POINTS[: count - 1], dtype=torch.float64)
    finite = points.unsqueeze(1) ** torch.arange(powers)
    infinite = torch.zeros(1, powers, dtype=torch.float64)
    infinite[0, -1] = 1
    return torch.cat([finite, infinite])
