"""Implements the sparsity losses of capsules' presences.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2.4; details follow the authors' code.
"""

from __future__ import annotations

from torch import Tensor

from models.layers.shares import whole_batch


def prior_sparsity(presence: Tensor, classes: int) -> dict[str, Tensor]:
    """Computes both sparsity losses of prior presences, as if each class had K/C capsules.

    Args:
        presence: (batch, K); on several devices, this device's share of the batch.
        classes: number of classes, C.

    Returns:
        `prior_within`: mean squared distance of an example's sum of presences from K/C.
        `prior_between`: mean squared distance of a capsule's sum over the batch from batch/C.
    """
    presence = whole_batch(presence)
    batch, capsules = presence.shape
    return {
        "prior_within": (presence.sum(1) - capsules / classes).square().mean(),
        "prior_between": (presence.sum(0) - batch / classes).square().mean(),
    }


def entropy(mass: Tensor) -> Tensor:
    """Computes the entropy of the last dimension, after it is normalised to sum 1.

    Args:
        mass: (..., n), at least 0. Value and gradient stay finite where it is 0.

    Returns:
        (...), in nats.
    """
    share = mass / mass.sum(-1, keepdim=True).clamp_min(1e-12)
    return -(share * share.clamp_min(1e-12).log()).sum(-1)


def posterior_sparsity(mass: Tensor) -> dict[str, Tensor]:
    """Computes both losses that ask for few capsules per example, but all capsules per batch.

    Args:
        mass: (batch, K), posterior presences; on several devices, this device's share.

    Returns:
        `posterior_within`: mean entropy of an example. `posterior_between`: minus the entropy of
        the batch's sum.
    """
    mass = whole_batch(mass)
    return {
        "posterior_within": entropy(mass).mean(),
        "posterior_between": -entropy(mass.sum(0)),
    }
