"""Draws templates in affine poses.

An affine map is six numbers [[a, b, c], [d, e, f]], which take (x, y) to (ax + by + c, dx + ey +
f). Coordinates of templates and canvas range from -1, the centre of the first pixel, to 1, the
centre of the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.layers.numerics import without_autocast

SMALLEST_DETERMINANT = 1e-5
"""Lower bound that determinants are clamped to.

A pose's determinant is the product of its scales, at least 0.01². Only products of poses, such as
the votes of objects, have smaller ones.
"""
CHUNK_POINTS = 2**20
"""Points whose gradients are computed at a time, so that coordinates stay in the cache."""


def inverse(pose: Tensor) -> Tensor:
    """Inverts affine maps, with determinants clamped away from zero.

    Args:
        pose: (..., 6).

    Returns:
        (..., 6).
    """
    a, b, c, d, e, f = pose.unbind(-1)
    determinant = a * e - b * d
    determinant = determinant.abs().clamp_min(SMALLEST_DETERMINANT).copysign(determinant)
    adjugate = torch.stack([e, -b, b * f - c * e, -d, a, c * d - a * f], -1)
    return adjugate / determinant.unsqueeze(-1)


def warp(templates: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Draws templates on a canvas by bilinear sampling; outside its border a template is 0.

    Args:
        templates: (M, channels, height, width).
        maps: (batch, M, 6), affine maps from the canvas to the template: the inverses of the poses.
        size: height and width of the canvas in pixels.

    Returns:
        (M, channels, batch, *size). Parts come first, since later code sums over parts.
    """
    with without_autocast(maps.device):
        return _Warp.apply(templates, maps, size)


def _axes(size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the y coordinates of the rows and the x coordinates of the columns."""
    y, x = (torch.linspace(-1, 1, n, dtype=like.dtype, device=like.device) for n in size)
    return y, x


class _Warp(torch.autograd.Function):
    """Samples each template on the canvases of all images, which are stacked to one tall canvas.

    Thus no template is copied per image. Coordinates are not stored: the backward pass recomputes
    them.
    """

    @staticmethod
    def forward(ctx: Any, templates: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(templates, maps)
        ctx.size = size
        drawn = torch.grid_sampler(templates, _grid(maps, size), 0, 0, True)
        return drawn.view(*templates.shape[:2], len(maps), *size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        templates, maps = ctx.saved_tensors
        y, x = _axes(ctx.size, maps)
        grad_templates, grad_maps = torch.empty_like(templates), torch.empty_like(maps)
        for chunk in _template_slices(len(templates), len(maps) * ctx.size[0] * ctx.size[1]):
            grad_templates[chunk], grad_grid = _gradients(
                grad[chunk].flatten(2, 3), templates[chunk], _grid(maps[:, chunk], ctx.size)
            )
            grad_grid = grad_grid.view(-1, len(maps), *ctx.size, 2)
            columns = grad_grid.sum(2).transpose(-1, -2)
            rows = torch.view_as_real(torch.view_as_complex(grad_grid).sum(3)).transpose(-1, -2)
            grad_map = torch.stack([columns @ x, rows @ y, rows.sum(-1)], -1)
            grad_maps[:, chunk] = grad_map.flatten(2).transpose(0, 1)
        return grad_templates, grad_maps, None


def _grid(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Computes the template coordinates of the pixels of the canvases.

    A pixel's two coordinates are one complex number, the sum of a term of its column and a term of
    its row.

    Args:
        maps: (batch, n, 6), affine maps from canvas to template.
        size: height and width of a canvas.

    Returns:
        (n, batch · height, width, 2), x before y.
    """
    y, x = _axes(size, maps)
    a, b, c, d, e, f = maps.transpose(0, 1).contiguous().unsqueeze(-1).unbind(2)
    columns = torch.complex(a * x, d * x).unsqueeze(2)
    rows = torch.complex(b * y + c, e * y + f).unsqueeze(3)
    return torch.view_as_real(columns + rows).flatten(1, 2)


def _gradients(grad: Tensor, templates: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the gradients of `grid_sampler` (bilinear, zeros outside the border).

    Args:
        grad: (n, channels, rows, columns), the gradient of the sampled values.
        templates: (n, channels, height, width).
        grid: (n, rows, columns, 2), x before y.

    Returns:
        The gradient of the templates, and the gradient of the grid, each in the shape of its
        argument.
    """
    if grad.is_cuda:
        return deterministic_gradients(grad, templates, grid)
    return torch.ops.aten.grid_sampler_2d_backward(grad, templates, grid, 0, 0, True, [True, True])


def deterministic_gradients(grad: Tensor, templates: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the same as `_gradients` by matrix products, which add in a fixed order.

    PyTorch's GPU kernel adds in a varying order, so that equal runs would differ. The weight of a
    template's pixel is the product of two hat functions, of the point's row and of its column
    (Jaderberg et al. 2015, equation 5).

    Args:
        grad: (n, channels, rows, columns), the gradient of the sampled values.
        templates: (n, channels, height, width).
        grid: (n, rows, columns, 2), x before y.

    Returns:
        The gradient of the templates, and the gradient of the grid, each in the shape of its
        argument.
    """
    grad = grad.flatten(2).unsqueeze(-1)  # (n, channels, points, 1)
    row, row_slope = _bilinear_weights(grid[..., 1].flatten(1), templates.shape[2])
    column, column_slope = _bilinear_weights(grid[..., 0].flatten(1), templates.shape[3])
    grad_templates = (grad * row).transpose(2, 3) @ column
    grad_x = (grad * (row @ templates) * column_slope).sum((1, 3))
    grad_y = (grad * (column @ templates.transpose(2, 3)) * row_slope).sum((1, 3))
    return grad_templates, torch.stack([grad_x, grad_y], -1).view_as(grid)


def _bilinear_weights(coordinate: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Computes the weights of `side` pixels at (n, points) coordinates, and their derivatives.

    Weights and derivatives are (n, 1, points, side).
    """
    scale = (side - 1) / 2
    pixels = torch.arange(side, dtype=coordinate.dtype, device=coordinate.device)
    distance = ((coordinate + 1) * scale)[:, None, :, None] - pixels
    near = (distance >= -1) & (distance < 1)
    slope = torch.where(distance < 0, scale, -scale) * near
    return (1 - distance.abs()).clamp_min(0), slope


def _template_slices(count: int, points: int) -> Iterator[slice]:
    """Yields slices of templates; each has about `CHUNK_POINTS` points, a template has `points`."""
    step = 4 * max(1, CHUNK_POINTS // (4 * points))
    for start in range(0, count, step):
        yield slice(start, start + step)
