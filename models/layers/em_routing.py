"""Implements EM routing of capsules, whose poses are vectors.

Hinton, Sabour, Frosst: Matrix capsules with EM routing, ICLR 2018, procedure 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.numerics import at_least_float32

INVERSE_TEMPERATURE = 0.01
"""Final λ of the schedule λ(1 − 0.95^t) of iteration t, which the authors published later."""
SMALLEST = 1e-6
"""Is added to variances, and to the sum of the weights of the votes."""


class EMRouting(nn.Module):
    """Fits one Gaussian per object capsule to the votes of the part capsules.

    Each part is assigned to the objects in proportion to their activations and to the density of
    its vote. An object is active if describing its votes by its Gaussian is cheap.
    """

    def __init__(self, objects: int, *, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.cost = nn.Parameter(torch.zeros(objects))  # the paper's β_u
        self.benefit = nn.Parameter(torch.zeros(objects))  # the paper's β_a

    def forward(self, votes: Tensor, presence: Tensor) -> Tensor:
        """Routes votes.

        Args:
            votes: (batch, objects, parts, dims).
            presence: (batch, parts) in [0, 1], the activations of the parts.

        Returns:
            (batch, objects, dims): the mean of each object's Gaussian times its activation, in
            float32 at least.
        """
        votes, presence = at_least_float32(votes), at_least_float32(presence)[:, None]
        assigned = presence.expand(votes.shape[:3]) / votes.shape[1]
        pose, log_activation, log_density = self._fit(votes, assigned, 1)
        for iteration in range(2, self.iterations + 1):
            assigned = (log_activation[:, :, None] + log_density).softmax(dim=1) * presence
            pose, log_activation, log_density = self._fit(votes, assigned, iteration)
        return log_activation.exp()[:, :, None] * pose

    def _fit(
        self, votes: Tensor, assigned: Tensor, iteration: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fits the Gaussians to the votes (the M-step).

        Args:
            votes: (batch, objects, parts, dims).
            assigned: (batch, objects, parts), the weight of each vote.
            iteration: the number of the iteration, from 1.

        Returns:
            The means (batch, objects, dims); the logarithms of the activations (batch, objects);
            the log densities of the votes (batch, objects, parts).
        """
        mass = assigned.sum(dim=2, keepdim=True) + SMALLEST
        mean = torch.einsum("bop,bopd->bod", assigned, votes) / mass
        squares = (votes - mean[:, :, None]).square()
        variance = torch.einsum("bop,bopd->bod", assigned, squares) / mass + SMALLEST
        cost = (self.cost[:, None] + 0.5 * variance.log()) * mass
        scale = INVERSE_TEMPERATURE * (1 - 0.95**iteration)
        log_activation = F.logsigmoid(scale * (self.benefit - cost.sum(dim=2)))
        spread = variance[:, :, None]
        log_density = -0.5 * (squares / spread + (2 * math.pi * spread).log()).sum(dim=3)
        return mean, log_activation, log_density
