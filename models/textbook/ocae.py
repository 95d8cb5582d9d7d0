"""Implements the object autoencoder as most do: concatenated inputs, 3×3 matrices, Normal."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.layers.parts import Parts
from models.textbook import pcae
from models.textbook.object_capsules import (
    capsule_votes,
    entropy,
    log_density,
    mixture,
    set_transformer,
    sparsity,
)


class Found(NamedTuple):
    """Holds the loss terms of all levels, and the presences (batch, K) of the highest level."""

    terms: dict[str, Tensor]
    prior: Tensor
    posterior: Tensor


def explain(ours: Any, parts: Parts, templates: Tensor | None, level: int = 1) -> Found:
    """Explains M parts by object capsules, level by level.

    Only the first level has templates: (M, numbers) or (batch, M, numbers). The loss terms of level
    2 are called `parts_level_2` and so on.
    """
    pose, presence = parts.pose.detach(), parts.presence.detach()
    inputs = torch.cat([pose, 1 - presence[..., None], parts.features], -1)
    weight = ours.embed.weight
    if templates is not None:
        templates = templates.detach().expand(len(pose), -1, -1)
        inputs = torch.cat([inputs, templates], -1)
        weight = torch.cat([weight, ours.embed_template.weight], -1)
    views = set_transformer(ours.encoder, inputs @ weight.t() + ours.embed.bias, presence)
    votes = capsule_votes(ours.capsules, views)
    means = votes.matrix[..., :2, :].flatten(-2)
    density = log_density(pose[:, None], means, votes.scale).transpose(1, 2)
    dummy = torch.full_like(density[..., :1], 0.01)
    mixed = mixture(
        torch.cat([votes.presence.transpose(1, 2), dummy], -1),
        torch.cat([density, dummy.log()], -1),
        presence,
    )
    prior, mass = votes.presence.amax(-1), mixed.posterior.sum(1)
    terms = {
        "parts": -mixed.log_likelihood.mean(),
        "dynamic": votes.dynamic,
        **sparsity(prior, ours.classes),
        "posterior_within": torch.stack([entropy(row) for row in mass]).mean(),
        "posterior_between": -entropy(mass.sum(0)),
    }
    if level > 1:
        terms = {f"{name}_level_{level}": term for name, term in terms.items()}
    if ours.above is None:
        return Found(terms, prior, mass)
    wholes = Parts(votes.viewer[..., :2, :].flatten(-2), prior, votes.features)
    higher = explain(ours.above, wholes, None, level + 1)
    return higher._replace(terms=terms | higher.terms)


class OCAE(nn.Module):
    """Explains the parts of a base in training mode, but without shifting the images."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.ours, self.parts = copy.deepcopy(model), pcae.Parts(model.base)
        self.weights = model.loss_weights

    def loss(self, batch: Any) -> Tensor:
        """Computes the weighted sum of the loss terms of images."""
        part_network = self.ours.base.network
        with torch.no_grad():
            parts = part_network.encode(part_network.views(batch.x).image)
        templates = self.parts.templates(parts.features).flatten(-3)
        terms = explain(self.ours.network, parts, templates).terms
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def parameters(self, recurse: bool = True) -> Any:
        """Returns the parameters of the object autoencoder without those of the base."""
        return self.ours.network.parameters(recurse)


textbook = OCAE
