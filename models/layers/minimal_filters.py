"""Computes convolutions of stride 1 by minimal filtering: fewer products, in one batched product.

Lavin, Gray: Fast Algorithms for Convolutional Neural Networks, CVPR 2016 (arXiv 1509.09308), after
Winograd. The matrices are those of the Toom-Cook algorithm, for any tile and kernel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
"""Points at which polynomials are evaluated, beside infinity."""
TILES = (2, 3, 4)
"""Sides of output tiles to choose from; larger tiles need fewer products but lose precision."""


class FilterMatrices(NamedTuple):
    """Holds P, Q and R of y = R[(P x) ∘ (Q w)] for inputs x, weights w and outputs y.

    In one dimension, `tile` outputs take tile + kernel − 1 products. In two dimensions each matrix
    is the Kronecker product of its one-dimensional matrix with itself.
    """

    input_transform: Tensor
    """P: (n², n²), with n = tile + kernel − 1."""
    weight_transform: Tensor
    """Q: (n², kernel²)."""
    output_transform: Tensor
    """R: (tile², n²)."""


@lru_cache
def filter_matrices(
    tile: int, kernel: int, dtype: torch.dtype, device: torch.device
) -> FilterMatrices:
    """Builds the matrices of the minimal filter in two dimensions, in float64, and casts them.

    Two polynomials are multiplied by multiplying their values at points; one point is infinity.
    Correlation is the transpose of this product with respect to one factor.

    Args:
        tile: outputs per side.
        kernel: weights per side.
        dtype: type of the matrices.
        device: device of the matrices.

    Returns:
        The three matrices.
    """
    count = tile + kernel - 1
    # The cache serves training too, which cannot use tensors created in inference mode.
    with torch.inference_mode(mode=False):
        points = torch.tensor(POINTS[: count - 1], dtype=torch.float64, device="cpu")

        def values(terms: int) -> Tensor:
            infinity = points.new_zeros(1, terms)
            infinity[0, -1] = 1
            return torch.cat([torch.vander(points, terms, increasing=True), infinity])

        sides = (
            values(count).inverse().T.contiguous(),
            values(kernel),
            values(tile).T.contiguous(),
        )
        return FilterMatrices(*(torch.kron(side, side).to(device, dtype) for side in sides))


class Winograd:
    """Holds the geometry of one convolution: how its outputs are cut into square tiles.

    Images are (batch, rows, columns, channels) here. The transformed tile of a channel has n²
    numbers, n = tile + kernel − 1. Transformed outputs are the sums over channels of transformed
    inputs times transformed weights: `torch.bmm(geometry.transform_inputs(images),
    geometry.transform_weights(weights))`.
    """

    def __init__(self, *, kernel: int, rows: int, columns: int) -> None:
        """Chooses the tile that needs the fewest products.

        Args:
            kernel: weights per side.
            rows: rows of the output.
            columns: columns of the output.
        """

        def products(tile: int) -> int:
            return -(-rows // tile) * -(-columns // tile) * (tile + kernel - 1) ** 2

        self.kernel, self.rows, self.columns = kernel, rows, columns
        self.tile = min(TILES, key=products)
        self.grid = (-(-rows // self.tile), -(-columns // self.tile))

    def transform_inputs(self, images: Tensor, *, border: int = 0) -> Tensor:
        """Cuts images into overlapping tiles and transforms them.

        Args:
            images: (batch, rows, columns, channels).
            border: zeros to add on each side.

        Returns:
            (n², batch·tiles, channels).
        """
        return _transform(
            self._matrices(images).input_transform, _Cut.apply(images, self, border)
        ).transpose(0, 1)

    def transform_weights(
        self, taps: Tensor, *, start: tuple[int, int] = (0, 0), step: int = 1
    ) -> Tensor:
        """Transforms weights, or every `step`-th row and column of them.

        Args:
            taps: (inputs, height, width, outputs), the weights; at most kernel × kernel of them are
                taken.
            start: the first row and column to take.
            step: distance between two rows or columns that are taken.

        Returns:
            (n², inputs, outputs).
        """
        weight_transform = self._matrices(taps).weight_transform
        matrix = taps.new_zeros(len(weight_transform), *taps.shape[1:3])
        taken = matrix[:, start[0] :: step, start[1] :: step]
        square = weight_transform.unflatten(1, (self.kernel, self.kernel))
        taken.copy_(square[:, : taken.shape[1], : taken.shape[2]])
        return _transform(matrix.flatten(1), taps.flatten(1, 2)).transpose(0, 1).contiguous()

    def transform_outputs(self, products: Tensor, bias: Tensor | None = None) -> Tensor:
        """Transforms sums of products of inputs and weights to outputs, and adds a bias.

        Args:
            products: (n², batch·tiles, channels).
            bias: (channels,), or None.

        Returns:
            (batch·tiles, tile², channels).
        """
        outputs = _transform(self._matrices(products).output_transform, products.transpose(0, 1))
        return outputs if bias is None else outputs.add_(bias)

    def join_tiles(self, tiles: Tensor) -> Tensor:
        """Joins output tiles to images.

        Args:
            tiles: (batch·tiles, tile², channels).

        Returns:
            (batch, rows, columns, channels).
        """
        grid = tiles.view(-1, *self.grid, self.tile, self.tile, tiles.shape[2])
        joined = grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return joined[:, : self.rows, : self.columns]

    def cut_tiles(self, images: Tensor) -> Tensor:
        """Cuts images into output tiles, padded with zeros at the ends; inverts `join_tiles`.

        Args:
            images: (batch, rows, columns, channels).

        Returns:
            (batch·tiles, tile², channels).
        """
        (down, across), tile = self.grid, self.tile
        filled = F.pad(images, (0, 0, 0, across * tile - self.columns, 0, down * tile - self.rows))
        grid = filled.unflatten(2, (across, tile)).unflatten(1, (down, tile))
        return grid.transpose(2, 3).reshape(-1, tile**2, images.shape[3])

    def _matrices(self, like: Tensor) -> FilterMatrices:
        """Returns the matrices with the type and on the device of a tensor."""
        return filter_matrices(self.tile, self.kernel, like.dtype, like.device)


def _transform(matrix: Tensor, tiles: Tensor) -> Tensor:
    """Multiplies each tile by the matrix, in small products that stay in the processor's caches."""
    return torch.bmm(matrix.expand(len(tiles), -1, -1), tiles)


class _Cut(torch.autograd.Function):
    """Cuts images into overlapping tiles (batch·tiles, n², channels); sums gradients by blocks.

    A block is as large as an output tile, so that the parts of overlapping tiles never overlap
    within one addition.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, geometry: Winograd, border: int) -> Tensor:
        tile, kernel = geometry.tile, geometry.kernel
        side = tile + kernel - 1
        pads = [0, 0]
        for count, length in zip(reversed(geometry.grid), reversed(images.shape[1:3]), strict=True):
            pads += [border, count * tile + kernel - 1 - length - border]
        ctx.pads, ctx.geometry = pads, geometry
        tiles = F.pad(images, pads).unfold(1, side, tile).unfold(2, side, tile)
        return tiles.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side, images.shape[3])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tile, kernel, (down, across) = ctx.geometry.tile, ctx.geometry.kernel, ctx.geometry.grid
        side = tile + kernel - 1
        tiles = grad.view(-1, down, across, side, side, grad.shape[2])
        more = (side - 1) // tile
        blocks = grad.new_zeros(len(tiles), down + more, across + more, tile, tile, grad.shape[2])
        for i, rows in enumerate(tiles.split(tile, 3)):
            for j, part in enumerate(rows.split(tile, 4)):
                height, width = part.shape[3:5]
                blocks[:, i : i + down, j : j + across, :height, :width] += part
        whole = blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        reached = whole[:, : down * tile + kernel - 1, : across * tile + kernel - 1]
        return F.pad(reached, [-pad for pad in ctx.pads]), None, None
