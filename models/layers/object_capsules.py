"""Implements object capsules: wholes that vote for the poses of their parts.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
sections 2.1 (constellations) and 2.3 (objects of parts); details follow the authors' code.

The textbook version is models/textbook/object_capsules.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from models.layers.capsule_votes import CapsuleLayer, Votes, gaussian_log_density
from models.layers.initialisation import sonnet_normal_
from models.layers.numerics import at_least_float32
from models.layers.parts import Parts
from models.layers.set_transformer import SetTransformer
from models.layers.sparsity import posterior_sparsity, prior_sparsity
from models.variant import Hyperparameters

T = TypeVar("T")

BACKGROUND_LOG_JOINT = 2 * math.log(0.01)
"""Log of the background component for any part: presence 0.01 times density 0.01."""


class ObjectConfig(Hyperparameters):
    """Holds sizes and loss weights of an object autoencoder; defaults: the authors' MNIST model."""

    object_capsules: int = Field(32, ge=2, description="object capsules, K")
    object_dims: int = Field(32, ge=1, description="dimensions of an object capsule")
    object_hidden: int = Field(128, ge=1, description="hidden units of each capsule's two MLPs")
    object_noise: float = Field(
        2.0,
        ge=0,
        le=10,
        description="half-width of the uniform noise on presence logits in training",
    )
    object_levels: int = Field(1, ge=1, le=3, description="number of levels of object capsules")
    upper_capsules: int = Field(16, ge=2, description="capsules of each level above the first")
    attention_layers: int = Field(3, ge=1, description="blocks of the Set Transformer")
    attention_heads: int = Field(1, ge=1, description="heads per attention layer")
    attention_dims: int = Field(16, ge=1, description="dimensions within the Set Transformer")
    attention_out: int = Field(256, ge=1, description="dimensions of the input of a capsule's MLP")
    layer_norm: bool = Field(True, description="whether the Set Transformer has layer norms")
    parts_weight: float = Field(1.0, ge=0, description="weight of the parts' likelihood")
    dynamic_weight: float = Field(
        10.0, ge=0, description="weight of the l2 penalty on dynamic poses"
    )
    prior_within_weight: float = Field(
        2.0, ge=0, description="weight of prior sparsity within an example"
    )
    prior_between_weight: float = Field(
        0.35,
        ge=0,
        description="weight of prior sparsity between examples, which grows as batch_size squared",
    )
    posterior_within_weight: float = Field(
        0.7, ge=0, description="weight of the posterior's entropy within an example"
    )
    posterior_between_weight: float = Field(
        0.2, ge=0, description="weight of the posterior's entropy between examples, maximised"
    )


def object_loss_weights(config: ObjectConfig) -> dict[str, float]:
    """Collects the weight of each loss term of an `ObjectAutoencoder`, for all of its levels.

    Args:
        config: the hyper-parameters.

    Returns:
        Weights by the name of the loss term.
    """
    weights = {
        "parts": config.parts_weight,
        "dynamic": config.dynamic_weight,
        "prior_within": config.prior_within_weight,
        "prior_between": config.prior_between_weight,
        "posterior_within": config.posterior_within_weight,
        "posterior_between": config.posterior_between_weight,
    }
    levels = range(1, config.object_levels + 1)
    return {k: v for level in levels for k, v in name_by_level(level, weights).items()}


def name_by_level(level: int, terms: Mapping[str, T]) -> dict[str, T]:
    """Names the loss terms of a level: `parts` on the first level, `parts_level_2` on the second.

    Args:
        level: number of the level, from 1.
        terms: values by the name of the loss term.

    Returns:
        The same values by the names of this level.
    """
    return dict(terms) if level == 1 else {f"{k}_level_{level}": v for k, v in terms.items()}


class Objects(NamedTuple):
    """Holds the output of an object autoencoder for M parts; its highest level has K capsules."""

    terms: dict[str, Tensor]
    """Scalar loss terms of all levels, to be weighted by `object_loss_weights` and minimised."""
    prior: Tensor
    """(batch, K): prior presences of the capsules, each that of the capsule's most present vote."""
    posterior: Tensor
    """(batch, K): sum over the parts of the probability that capsule k explains the part."""
    winner: Tensor
    """(batch, M) int64: the capsule that explains each part best."""
    explained: Parts
    """The parts, in the poses that the winning capsules of the first level vote for."""
    log_likelihood: Tensor
    """(batch,): Σ_m d_m log p(x_m) over the parts' presences d and poses x, on the first level."""


class ObjectAutoencoder(nn.Module):
    """Explains parts by object capsules, and these, on further levels, by further object capsules.

    A Set Transformer reads [pose, 1 − presence, features, template] of each part. Capsule k then
    votes for the pose of each part m. A part's likelihood is the mixture Σ_k a_k a_km N(x_m; v_km,
    λ_km) + 0.01·0.01. As in the paper, no gradient reaches the poses, presences and templates;
    features receive gradients.

    The next level reads the capsules as its parts: their object-viewer maps as poses, prior
    presences and features. It adds loss terms of its own.
    """

    def __init__(
        self,
        *,
        parts: int,
        features: int,
        templates: int,
        classes: int,
        config: ObjectConfig,
        level: int = 1,
    ) -> None:
        """Builds the networks of this level and of the levels above it.

        Args:
            parts: number of parts, M.
            features: features per part.
            templates: numbers per template; 0 if no templates are given.
            classes: number of classes, C, for the prior sparsity.
            config: sizes; the levels above have `upper_capsules` capsules.
            level: number of this level; 1 is the lowest.
        """
        super().__init__()
        self.classes, self.level = classes, level
        dims = config.attention_dims
        self.embed = nn.Linear(7 + features, dims)
        # A template may be the same in all images; its term of the embedding is then computed once.
        self.embed_template = nn.Linear(templates, dims, bias=False) if templates else None
        nn.init.zeros_(self.embed.bias)
        for layer in (self.embed, self.embed_template):
            if layer is not None:
                sonnet_normal_(layer.weight, inputs=7 + features + templates)
        self.encoder = SetTransformer(
            layers=config.attention_layers,
            heads=config.attention_heads,
            dims=dims,
            seeds=config.object_capsules,
            out=config.attention_out,
            layer_norm=config.layer_norm,
        )
        self.capsules = CapsuleLayer(
            capsules=config.object_capsules,
            votes=parts,
            inputs=config.attention_out,
            dims=config.object_dims,
            hidden=config.object_hidden,
            noise=config.object_noise,
        )
        above = {"object_capsules": config.upper_capsules}
        self.above = (
            ObjectAutoencoder(
                parts=config.object_capsules,
                features=config.object_dims,
                templates=0,
                classes=classes,
                config=config.model_copy(update=above),
                level=level + 1,
            )
            if level < config.object_levels
            else None
        )

    def forward(self, parts: Parts, templates: Tensor | None = None) -> Objects:
        """Explains the parts of a batch of images.

        Args:
            parts: the parts.
            templates: (M, numbers); or (batch, M, numbers) if templates differ between images. None
                if this level has no templates.

        Returns:
            Loss terms, presences, winners and the explained parts.
        """
        pose, presence = parts.pose.detach(), parts.presence.detach()
        inputs = torch.cat([pose, 1 - presence.unsqueeze(-1), parts.features], -1)
        embedded = self.embed(inputs)
        if self.embed_template is not None:
            assert templates is not None
            embedded = embedded + self.embed_template(templates.detach())
        votes = self.capsules(self.encoder(embedded, presence))

        density = gaussian_log_density(
            at_least_float32(pose.movedim(-1, 0)).unsqueeze(1), votes.pose, votes.scale
        )
        joint = votes.log_presence + density
        background = joint.new_tensor(BACKGROUND_LOG_JOINT)
        evidence = torch.logaddexp(joint.logsumexp(0), background)
        posterior = (joint - evidence).exp()
        log_likelihood = (presence * evidence).sum(-1)
        prior = votes.log_presence.amax(-1).exp().t()
        mass = posterior.sum(-1).t()
        winner = joint.argmax(0)
        chosen = votes.pose.gather(1, winner.expand(6, 1, -1, -1)).squeeze(1)
        terms = {
            "parts": -log_likelihood.mean(),
            "dynamic": votes.dynamic,
            **prior_sparsity(prior, self.classes),
            **posterior_sparsity(mass),
        }
        objects = Objects(
            terms=name_by_level(self.level, terms),
            prior=prior,
            posterior=mass,
            winner=winner,
            explained=parts._replace(pose=chosen.movedim(0, -1)),
            log_likelihood=log_likelihood,
        )
        return objects if self.above is None else self._add_levels(objects, votes)

    def _add_levels(self, objects: Objects, votes: Votes) -> Objects:
        """Explains the capsules of this level by the levels above, and merges the results."""
        assert self.above is not None
        wholes = Parts(
            pose=votes.viewer.movedim(0, -1).transpose(0, 1),
            presence=objects.prior,
            features=votes.features.transpose(0, 1),
        )
        higher = self.above(wholes)
        return objects._replace(
            terms=objects.terms | higher.terms,
            prior=higher.prior,
            posterior=higher.posterior,
            winner=higher.winner.gather(1, objects.winner),
        )
