"""Implements the constellation autoencoder as most do: one explicit mixture of all votes."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.textbook.object_capsules import (
    capsule_votes,
    log_density,
    mixture,
    set_transformer,
    sparsity,
)
from models.variant import PointShape


def draw(x: Tensor, count: int) -> Tensor:
    """Draws the pixel at the middle of each stratum of equal mass: (batch, count, 2) in [−1, 1]."""
    every = []
    for image in x.mean(1):
        mass = (image.flatten() + 1e-6).cumsum(0)
        points = []
        for k in range(count):
            pixel = int((mass < (k + 0.5) / count * mass[-1]).sum())
            row, column = divmod(pixel, image.shape[1])
            points.append(
                [(2 * column + 1) / image.shape[1] - 1, (2 * row + 1) / image.shape[0] - 1]
            )
        every.append(points)
    return torch.tensor(every, dtype=x.dtype)


class CCAE(nn.Module):
    """Explains points as in evaluation: without noise, with points at the middles of strata."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.ours = copy.deepcopy(model)
        self.weights = model.loss_weights

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """Computes the loss terms of images or sets of points, by name."""
        ours = self.ours
        if isinstance(ours.shape, PointShape):
            points, presence = x[..., :2], x[..., 2]
        else:
            points = draw(x, ours.config.points)
            presence = torch.ones_like(points[..., 0])
        votes = capsule_votes(
            ours.capsules, set_transformer(ours.encoder, ours.embed(points), presence)
        )
        batch, capsules, count = votes.scale.shape
        centre = votes.matrix[..., :2, 2].flatten(1, 2)
        density = log_density(points[:, :, None], centre[:, None], votes.scale.flatten(1)[:, None])
        dummy = torch.full_like(density[..., :1], 0.01)
        weight = torch.cat([votes.presence.flatten(1), dummy[:, 0]], 1)
        weight = weight / weight.sum(1, keepdim=True)
        joint = torch.cat([density, dummy.log()], -1)
        found = mixture(weight[:, None], joint, presence)
        winner = (weight[:, None].log() + joint)[..., :-1].argmax(-1) // count
        active = torch.zeros((), dtype=points.dtype)
        for b in range(batch):
            for k in range(capsules):
                wins = ((winner[b] == k) & (presence[b] > 0)).sum()
                if wins > 0:
                    active = active + F.binary_cross_entropy_with_logits(
                        votes.logit[b, k], (wins > 1).to(votes.logit)
                    )
        return {
            "points": -found.log_likelihood.mean(),
            "active": active / batch,
            "dynamic": votes.dynamic,
            **sparsity(votes.presence.amax(-1), ours.classes),
        }

    def loss(self, batch: Any) -> Tensor:
        """Computes the weighted sum of the loss terms."""
        terms = self.terms(batch.x)
        return torch.stack([self.weights.get(name, 1) * term for name, term in terms.items()]).sum()


textbook = CCAE
