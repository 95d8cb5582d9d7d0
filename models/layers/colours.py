"""Colours that tell things apart in pictures."""

from __future__ import annotations

import torch
from torch import Tensor


def hues(count: int) -> Tensor:
    """(count, 3): saturated colours in [0, 1], evenly spaced around the circle of hues."""
    turn = 6 * torch.arange(count)[:, None] / count
    return (((turn + torch.tensor([0, 4, 2])) % 6 - 3).abs() - 1).clamp(0, 1)


def dots(points: Tensor, colours: Tensor, *, ground: Tensor, radius: float = 1.5) -> Tensor:
    """Discs on images: (batch, 3, side, side).

    points: (batch, n, 2) of (x, y) in [−1, 1]; colours: (batch, n, 3), black ones are not drawn;
    ground: (batch, 1 or 3, side, side) in [0, 1].
    """
    side = ground.shape[-1]
    x, y = ((points + 1) * (side / 2) - 0.5)[..., None, None].unbind(2)
    pixel = torch.arange(side, dtype=points.dtype, device=points.device)
    covered = (pixel - x).square() + (pixel[:, None] - y).square() <= radius**2
    drawn = (covered.unsqueeze(2) * colours[..., None, None]).amax(1)
    shown = covered & (colours.sum(-1) > 0)[..., None, None]
    return torch.where(shown.any(1, keepdim=True), drawn, ground.expand_as(drawn))
