"""Computes the votes of object capsules: the poses in which a capsule expects its parts.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2.1; details follow the authors' code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.affine import affine, compose
from models.layers.initialisation import sonnet_normal_
from models.layers.numerics import LOG_SQRT_TAU, at_least_float32

SCALE_LOGIT_BOUND = 10.0
"""Bound of the logit of a scale, approached smoothly: scales are between 0.01 and 10.52."""


class Votes(NamedTuple):
    """Holds the votes of K capsules for V parts each.

    Poses and maps are affine maps as six planes: a, b, c, d, e, f of [[a, b, c], [d, e, f]].
    """

    pose: Tensor
    """(6, K, batch, V): predicted poses, the products of object-viewer and object-part maps."""
    scale: Tensor
    """(K, batch, V): standard deviations of the predicted poses."""
    log_presence: Tensor
    """(K, batch, V): log of a_k · a_kv, the capsule's presence times the vote's."""
    capsule_logit: Tensor
    """(K, batch): logits of a_k, with noise in training."""
    viewer: Tensor
    """(6, K, batch): object-viewer maps, one per capsule."""
    features: Tensor
    """(K, batch, dims): the capsules' features."""
    dynamic: Tensor
    """Scalar: half the squared norm of the dynamic object-part numbers, averaged over the batch."""


class LinearPerCapsule(nn.Module):
    """Applies a separate linear layer to each of K capsules."""

    def __init__(self, capsules: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            sonnet_normal_(torch.empty(capsules, inputs, outputs), inputs=inputs)
        )
        self.bias = nn.Parameter(torch.zeros(capsules, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layers.

        Args:
            x: (K, batch, inputs).

        Returns:
            (K, batch, outputs).
        """
        return torch.baddbmm(self.bias, x, self.weight)


class CapsuleLayer(nn.Module):
    """Computes the votes of K capsules for V parts.

    Each capsule has two MLPs of its own: one from its input to its features, and one from these
    features to its object-viewer map, dynamic object-part numbers, presences and scales. The
    object-part maps are computed from the sum of static and dynamic numbers. Static numbers are
    parameters with random initial values; they are the bias of the dynamic numbers.
    """

    def __init__(
        self,
        *,
        capsules: int,
        votes: int,
        inputs: int,
        dims: int,
        hidden: int,
        noise: float,
        similarity: bool = False,
    ) -> None:
        super().__init__()
        self.votes, self.noise, self.similarity = votes, noise, similarity
        self.describe = nn.Sequential(
            LinearPerCapsule(capsules, inputs, hidden),
            nn.ReLU(),
            LinearPerCapsule(capsules, hidden, dims),
        )
        self.hidden = LinearPerCapsule(capsules, dims, hidden)
        self.dynamic = nn.Parameter(
            sonnet_normal_(torch.empty(capsules, hidden, 6 * votes), inputs=hidden)
        )
        self.rest = LinearPerCapsule(capsules, hidden, 6 + 1 + 2 * votes)
        # The range of the authors' initialiser for 24 parts and 24 capsules. Zeros would give all
        # votes of a capsule the same pose.
        self.static = nn.Parameter(torch.empty(6, capsules, 1, votes).uniform_(-0.1, 0.1))

    def forward(self, views: Tensor) -> Votes:
        """Computes the votes.

        Args:
            views: (batch, K, inputs), what each capsule reads.

        Returns:
            The votes.
        """
        features = self.describe(views.transpose(0, 1))
        hidden = self.hidden(features).relu()
        dynamic = at_least_float32(torch.bmm(hidden, self.dynamic))
        sizes = (6, 1, self.votes, self.votes)
        viewer, capsule, vote, scale = at_least_float32(self.rest(hidden)).split(sizes, -1)
        numbers = dynamic.unflatten(-1, (6, -1)).movedim(2, 0)
        inner = affine((numbers + self.static).unbind(), similarity=self.similarity)
        outer = affine(viewer.unsqueeze(2).unbind(-1), similarity=self.similarity)
        capsule = self._add_noise(capsule)
        return Votes(
            pose=torch.stack(compose(outer, inner)),
            scale=deviation(scale),
            log_presence=F.logsigmoid(capsule) + F.logsigmoid(self._add_noise(vote)),
            capsule_logit=capsule.squeeze(-1),
            viewer=torch.stack(outer).squeeze(-1),
            features=features,
            dynamic=dynamic.square().sum() / (2 * len(views)),
        )

    def _add_noise(self, logit: Tensor) -> Tensor:
        """Adds uniform noise to logits in training, which drives presences towards 0 and 1."""
        if not self.training or self.noise == 0:
            return logit
        return logit + self.noise * (2 * torch.rand_like(logit) - 1)


def deviation(logit: Tensor) -> Tensor:
    """Computes scales, which are standard deviations, from logits.

    A scale is softplus(· + 0.5) + 0.01 of its logit, which tanh bounds by ±`SCALE_LOGIT_BOUND`.
    Without these bounds, long trainings of such mixtures end in NaN: a scale near 0 gives an
    infinite density, and a scale that grows without bound overflows.

    Args:
        logit: of any shape.

    Returns:
        The same shape.
    """
    return F.softplus(SCALE_LOGIT_BOUND * (logit / SCALE_LOGIT_BOUND).tanh() + 0.5) + 0.01


def gaussian_log_density(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Computes the log density of isotropic Gaussians.

    Args:
        x: (dims, ...), broadcast with `mean`.
        mean: (dims, ...).
        scale: (...), standard deviations.

    Returns:
        (...), summed over dims.
    """
    squared = (x - mean).square().sum(0)
    return -squared / (2 * scale.square()) - len(mean) * (scale.log() + LOG_SQRT_TAU)
