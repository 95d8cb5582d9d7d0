"""Draws coloured discs, for pictures of capsules."""

from __future__ import annotations

import torch
from torch import Tensor


def hues(count: int) -> Tensor:
    """Computes saturated colours, evenly spaced around the circle of hues.

    Args:
        count: number of colours.

    Returns:
        (count, 3), red, green and blue in [0, 1].
    """
    turn = 6 * torch.arange(count)[:, None] / count
    return (((turn + torch.tensor([0, 4, 2])) % 6 - 3).abs() - 1).clamp(0, 1)


def draw_discs(points: Tensor, colours: Tensor, *, ground: Tensor, radius: float = 1.5) -> Tensor:
    """Draws coloured discs on square images.

    Where discs overlap, each colour channel has its largest value. Black discs are not drawn.

    Args:
        points: (batch, n, 2), the centres (x, y) in [−1, 1].
        colours: (batch, n, 3) in [0, 1].
        ground: (batch, 1 or 3, side, side) in [0, 1], the images to draw on.
        radius: radius of a disc in pixels.

    Returns:
        (batch, 3, side, side).
    """
    side = ground.shape[-1]
    x, y = ((points + 1) * (side / 2) - 0.5)[..., None, None].unbind(2)
    pixel = torch.arange(side, dtype=points.dtype, device=points.device)
    covered = (pixel - x).square() + (pixel[:, None] - y).square() <= radius**2
    drawn = (covered.unsqueeze(2) * colours[..., None, None]).amax(1)
    shown = covered & (colours.sum(-1) > 0)[..., None, None]
    return torch.where(shown.any(1, keepdim=True), drawn, ground.expand_as(drawn))
