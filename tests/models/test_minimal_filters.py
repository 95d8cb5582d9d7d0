"""Tests minimal filtering against the convolution by its definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.minimal_filters import POINTS, TILES, Winograd, filter_matrices


def filtered(x: Tensor, weight: Tensor, bias: Tensor, geometry: Winograd, border: int) -> Tensor:
    """Convolves images, (batch, channels, rows, columns)."""
    tiles = geometry.transform_inputs(x.permute(0, 2, 3, 1), border=border)
    outputs = geometry.transform_outputs(
        torch.bmm(tiles, geometry.transform_weights(weight.permute(1, 2, 3, 0))), bias
    )
    return geometry.join_tiles(outputs).permute(0, 3, 1, 2)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("border", [0, 1])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(8, 8), (6, 6), (2, 1), (5, 4), (12, 7), (1, 30)],
)
def test_outputs_and_gradients_are_the_convolutions(
    kernel: int, border: int, rows: int, columns: int
) -> None:
    """Checks images that tiles divide, and images whose last tiles are padded with zeros."""
    sides = (rows + kernel - 1 - 2 * border, columns + kernel - 1 - 2 * border)
    geometry = Winograd(kernel=kernel, rows=rows, columns=columns)
    given = x, filters, bias = [
        torch.randn(*size, dtype=torch.float64, requires_grad=True)
        for size in ((2, 3, *sides), (4, 3, kernel, kernel), (4,))
    ]
    expected = F.conv2d(x, filters, bias, padding=border)
    ours = filtered(x, filters, bias, geometry, border)
    torch.testing.assert_close(ours, expected)
    weight = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad((ours * weight).sum(), given),
        torch.autograd.grad((expected * weight).sum(), given),
    )


@pytest.mark.parametrize(("kernel", "side", "error"), [(3, 64, 2e-6), (5, 6, 6e-6), (5, 8, 8e-6)])
def test_float32_loses_one_digit(kernel: int, side: int, error: float) -> None:
    """Checks the root mean square error of outputs with deviation 1.

    The convolution itself has an error of 1e-7.
    """
    x = torch.randn(2, 64, side + kernel - 1, side + kernel - 1).relu()
    weight, bias = torch.randn(32, 64, kernel, kernel) / (6 * kernel), torch.zeros(32)
    geometry = Winograd(kernel=kernel, rows=side, columns=side)
    exact = F.conv2d(x.double(), weight.double())
    ours = filtered(x, weight, bias, geometry, 0)
    assert (ours - exact).square().mean().sqrt() / exact.std() < error


def test_tiles_cut_what_they_join() -> None:
    geometry = Winograd(kernel=3, rows=5, columns=10)
    images = torch.rand(2, 5, 10, 3)
    assert torch.equal(geometry.join_tiles(geometry.cut_tiles(images)), images)


def test_matrices_first_wanted_in_evaluation_serve_training() -> None:
    filter_matrices.cache_clear()
    geometry, images = Winograd(kernel=3, rows=4, columns=4), torch.rand(1, 4, 4, 2)
    with torch.inference_mode():
        geometry.transform_inputs(images, border=1)
    geometry.transform_inputs(images.requires_grad_(), border=1).sum().backward()


def test_there_are_points_for_the_largest_tile_and_kernel() -> None:
    """Counts one point fewer than products, since one product uses infinity."""
    assert len(set(POINTS)) == len(POINTS) >= max(TILES) + 5 - 2
