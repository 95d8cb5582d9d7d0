"""Implements the Set Transformer and object capsules as most do: explicit steps, loops over heads.

The functions take copies of our modules, and apply the modules' parameters by the equations.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, presence: Tensor) -> Tensor:
    """Computes multi-head attention of a query (batch, q, dims) to key and value (batch, n, dims).

    Softmax weights are multiplied by presence (batch, n), and normalised again.
    """
    presence = torch.where(presence.sum(1, keepdim=True) > 0, presence, 1.0)
    dims = query.shape[-1] // heads
    outputs = []
    for head in range(heads):
        some = slice(head * dims, (head + 1) * dims)
        logits = query[..., some] @ key[..., some].transpose(1, 2) / math.sqrt(dims)
        weights = logits.softmax(-1) * presence[:, None]
        weights = weights / weights.sum(-1, keepdim=True)
        outputs.append(weights @ value[..., some])
    return torch.cat(outputs, -1)


def set_transformer(ours: Any, x: Tensor, presence: Tensor) -> Tensor:
    """Encodes a set (batch, n, dims) with presences (batch, n): (batch, seeds, out)."""
    for block in ours.blocks:
        attention = block.attention
        query, key, value = attention.query_key_value(x).chunk(3, -1)
        mixed = attention.out(attend(query, key, value, attention.heads, presence))
        h = block.norms[0](x + mixed)
        x = block.norms[1](h + block.feed_forward(h))
    pool = ours.pool
    z = pool.widen(x)
    seeds = pool.query(pool.seeds).expand(len(x), -1, -1)
    return pool.out(attend(seeds, pool.key(z), pool.value(z), pool.heads, presence))


def matrices(numbers: Tensor, similarity: bool) -> Tensor:
    """Computes the authors' affine maps or similarity transforms: (..., 6) to (..., 3, 3)."""
    width, height, turn, shear, x, y = numbers.unbind(-1)
    width, height = width.sigmoid() + 0.01, height.sigmoid() + 0.01
    cos, sin = (2 * math.pi * turn).cos(), (2 * math.pi * turn).sin()
    if similarity:
        a, b, d, e = width * cos, -width * sin, width * sin, width * cos
    else:
        sheared = (5 * shear).tanh() * height
        a, b = width * cos + sheared * sin, -width * sin + sheared * cos
        d, e = height * sin, height * cos
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows = [a, b, (5 * x).tanh(), d, e, (5 * y).tanh(), zero, zero, one]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


class Vote(NamedTuple):
    """Holds the V votes of each of K capsules."""

    matrix: Tensor
    """(batch, K, V, 3, 3): the poses that are voted for."""
    scale: Tensor
    """(batch, K, V): the deviations of the votes."""
    presence: Tensor
    """(batch, K, V)."""
    logit: Tensor
    """(batch, K): presence logits of the capsules."""
    viewer: Tensor
    """(batch, K, 3, 3): the poses of the capsules."""
    features: Tensor
    """(batch, K, dims)."""
    dynamic: Tensor
    """Scalar: half the squared norm of the dynamic numbers, averaged over the batch."""


def capsule_votes(ours: Any, views: Tensor) -> Vote:
    """Computes the votes of K capsules from what they read (batch, K, inputs).

    In training, noise from U(-noise, noise) is added to presence logits: first those of all
    capsules, then those of all votes.
    """
    every: list[list[Tensor]] = []
    batch, capsules, _ = views.shape
    of_capsule, of_vote = views.new_zeros(capsules, 1, 1), views.new_zeros(capsules, 1, 1)
    if ours.training and ours.noise:
        of_capsule = ours.noise * (2 * torch.rand(capsules, batch, 1, dtype=views.dtype) - 1)
        of_vote = ours.noise * (2 * torch.rand(capsules, batch, ours.votes, dtype=views.dtype) - 1)
    dynamic_l2 = torch.zeros((), dtype=views.dtype)
    for k in range(capsules):
        first, second = ours.describe[0], ours.describe[2]
        hidden = F.relu(views[:, k] @ first.weight[k] + first.bias[k])
        features = hidden @ second.weight[k] + second.bias[k]
        hidden = F.relu(features @ ours.hidden.weight[k] + ours.hidden.bias[k])
        dynamic = (hidden @ ours.dynamic[k]).unflatten(-1, (6, -1)).transpose(1, 2)
        rest = hidden @ ours.rest.weight[k] + ours.rest.bias[k]
        viewer, capsule = rest[:, :6], rest[:, 6:7]
        vote, scale = rest[:, 7:].chunk(2, -1)
        capsule, vote = capsule + of_capsule[k], vote + of_vote[k]
        outer = matrices(viewer, ours.similarity)
        inner = matrices(dynamic + ours.static[:, k, 0].t(), ours.similarity)
        dynamic_l2 = dynamic_l2 + (dynamic**2).sum() / 2 / len(views)
        every.append(
            [
                outer[:, None] @ inner,
                F.softplus(10 * (scale / 10).tanh() + 0.5) + 0.01,
                capsule.sigmoid() * vote.sigmoid(),
                capsule[:, 0],
                outer,
                features,
            ]
        )
    stacked = [torch.stack(tensors, 1) for tensors in zip(*every, strict=True)]
    return Vote._make([*stacked, dynamic_l2])


class Mixture(NamedTuple):
    """Holds the likelihood (batch,) of points, and the posterior (batch, n, C) of components."""

    log_likelihood: Tensor
    posterior: Tensor


def mixture(weight: Tensor, log_density: Tensor, presence: Tensor) -> Mixture:
    """Mixes C components; the last one is a dummy.

    weight and log_density are (batch, n, C), presence is (batch, n).
    """
    joint = weight.log() + log_density
    evidence = joint.logsumexp(-1)
    return Mixture((evidence * presence).sum(1), joint.softmax(-1)[..., :-1])


def log_density(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Computes normal log densities, summed over the last dimension of x and mean."""
    return Normal(mean, scale.unsqueeze(-1)).log_prob(x).sum(-1)


def sparsity(prior: Tensor, classes: int) -> dict[str, Tensor]:
    """Computes both sparsity losses of prior presences (batch, K)."""
    within = sum((row.sum() - prior.shape[1] / classes) ** 2 for row in prior) / len(prior)
    between = sum((column.sum() - len(prior) / classes) ** 2 for column in prior.t())
    return {
        "prior_within": torch.as_tensor(within),
        "prior_between": torch.as_tensor(between) / prior.shape[1],
    }


def entropy(mass: Tensor) -> Tensor:
    """Computes the entropy of masses (n,) after normalisation."""
    share = mass / mass.sum()
    return -(share * share.log()).sum()
