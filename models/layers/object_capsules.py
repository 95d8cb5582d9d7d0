"""Object capsules: wholes that vote for the poses of their parts.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
sections 2.1 (constellations) and 2.3 (objects of parts); details as in the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.affine import affine, compose
from models.layers.initialisation import sonnet_normal_
from models.layers.numerics import at_least_float32
from models.layers.parts import Parts
from models.layers.set_transformer import SetTransformer
from models.variant import Hyperparameters

T = TypeVar("T")

BACKGROUND_LOG_JOINT = 2 * math.log(0.01)
"""Log of the dummy component: presence .01 times density .01, whatever the part."""
LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
SCALE_LOGIT_BOUND = 10.0
"""Bound of a scale's logit, approached smoothly: scales stay within .01 and 10.5."""


class ObjectConfig(Hyperparameters):
    """Sizes and loss weights of an object autoencoder; defaults of the authors' MNIST model."""

    object_capsules: int = Field(32, ge=2, description="object capsules, K")
    object_dims: int = Field(32, ge=1, description="dimensions of an object capsule")
    object_hidden: int = Field(128, ge=1, description="hidden units of each capsule's two MLPs")
    object_noise: float = Field(
        2.0, ge=0, le=10, description="half-width of the noise on presence logits in training"
    )
    object_levels: int = Field(1, ge=1, le=3, description="levels of object capsules")
    upper_capsules: int = Field(16, ge=2, description="capsules of each level above the first")
    attention_layers: int = Field(3, ge=1, description="blocks of the Set Transformer")
    attention_heads: int = Field(1, ge=1, description="heads of each attention")
    attention_dims: int = Field(16, ge=1, description="dimensions within the Set Transformer")
    attention_out: int = Field(256, ge=1, description="dimensions that a capsule's MLP reads")
    layer_norm: bool = Field(True, description="layer norm in the Set Transformer")
    parts_weight: float = Field(1.0, ge=0, description="weight of the parts' likelihood")
    dynamic_weight: float = Field(10.0, ge=0, description="weight of the dynamic poses' l2")
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
    """The weight of each term that `ObjectAutoencoder` names, level by level."""
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
    """The terms of a level under their names: `parts` on the first, `parts_level_2` above it."""
    return dict(terms) if level == 1 else {f"{k}_level_{level}": v for k, v in terms.items()}


class Objects(NamedTuple):
    """What an object autoencoder makes of M parts; K capsules on its highest level."""

    terms: dict[str, Tensor]
    """Scalar loss terms of all levels, to be weighted by `object_loss_weights` and minimised."""
    prior: Tensor
    """(batch, K): presences a_k, those of their most present votes."""
    posterior: Tensor
    """(batch, K): Σ_m of the probabilities that capsule k explains part m."""
    winner: Tensor
    """(batch, M) int64: the capsule that explains a part best."""
    explained: Parts
    """The parts with their poses as the winners of the first level vote for them."""
    log_likelihood: Tensor
    """(batch,): Σ_m d_m log p(x_m) of the parts' poses, on the first level."""


class Votes(NamedTuple):
    """What K capsules predict of V parts each; capsules first, poses as six planes."""

    pose: Tensor
    """(6, K, batch, V): object-viewer times object-part maps."""
    scale: Tensor
    """(K, batch, V): standard deviations."""
    log_presence: Tensor
    """(K, batch, V): log of a_k · a_kv."""
    capsule_logit: Tensor
    """(K, batch): logits of a_k, with their noise."""
    viewer: Tensor
    """(6, K, batch): object-viewer maps."""
    features: Tensor
    """(K, batch, dims): the capsules' parameters."""
    dynamic: Tensor
    """Scalar: half the squared norm of the dynamic object-part numbers, mean over the batch."""


class LinearPerCapsule(nn.Module):
    """A linear layer for each capsule: (K, batch, in) to (K, batch, out)."""

    def __init__(self, capsules: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            sonnet_normal_(torch.empty(capsules, inputs, outputs), inputs=inputs)
        )
        self.bias = nn.Parameter(torch.zeros(capsules, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class CapsuleLayer(nn.Module):
    """K capsules from their views of a set: (batch, K, inputs) to their votes for V parts.

    Each capsule has MLPs of its own: one to its parameters, one from those to its object-viewer
    map, dynamic object-part numbers, presences and scales. Object-part maps are of the sum of
    static numbers, drawn at random, and dynamic ones, which have no bias: the static are theirs.
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
        # As large as the authors' initialiser makes it for 24 parts and capsules; zeros would put
        # all votes of a capsule on one spot.
        self.static = nn.Parameter(torch.empty(6, capsules, 1, votes).uniform_(-0.1, 0.1))

    def forward(self, views: Tensor) -> Votes:
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
        """Noise spreads presences to 0 and 1; only in training."""
        if not self.training or self.noise == 0:
            return logit
        return logit + self.noise * (2 * torch.rand_like(logit) - 1)


def deviation(logit: Tensor) -> Tensor:
    """A vote's scale, softplus(· + .5) + .01, the logit bounded by SCALE_LOGIT_BOUND through tanh.

    A scale of 0 is an infinite density, and one that grows without end an overflow: the two ways
    in which long trainings of such mixtures end in NaN.
    """
    return F.softplus(SCALE_LOGIT_BOUND * (logit / SCALE_LOGIT_BOUND).tanh() + 0.5) + 0.01


def gaussian_log_density(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Log density of isotropic Gaussians: x and mean (dims, ...) broadcast, scale (...)."""
    squared = (x - mean).square().sum(0)
    return -squared / (2 * scale.square()) - len(mean) * (scale.log() + LOG_SQRT_TAU)


def prior_sparsity(presence: Tensor, classes: int) -> dict[str, Tensor]:
    """As if each class had its K/C capsules: (batch, K) to both squared distances from that."""
    batch, capsules = presence.shape
    return {
        "prior_within": (presence.sum(1) - capsules / classes).square().mean(),
        "prior_between": (presence.sum(0) - batch / classes).square().mean(),
    }


def entropy(mass: Tensor) -> Tensor:
    """Of the last dimension brought to sum 1, in nats; finite, as its gradient, where mass is 0."""
    share = mass / mass.sum(-1, keepdim=True).clamp_min(1e-12)
    return -(share * share.clamp_min(1e-12).log()).sum(-1)


def posterior_sparsity(mass: Tensor) -> dict[str, Tensor]:
    """Few capsules in an example, all of them in a batch: (batch, K) to +H within, −H between."""
    return {
        "posterior_within": entropy(mass).mean(),
        "posterior_between": -entropy(mass.sum(0)),
    }


class ObjectAutoencoder(nn.Module):
    """Parts explained by object capsules, and these, on further levels, by object capsules again.

    A Set Transformer reads [pose, 1 − presence, features, template] of each part; capsule k then
    votes for the pose of each part m, and the part's likelihood is the mixture
    Σ_k a_k a_km N(x_m; v_km, λ_km) + .01·.01. Gradients stop, as in the paper, at the poses,
    presences and templates, as inputs and as targets; they reach the features.

    A further level takes the capsules for parts: their object-viewer maps, prior presences and
    parameters, and has loss terms of its own.

    parts: M, how many; features: their numbers of features; templates: numbers of a template, 0
    where none are given; classes: C, that the prior sparsity reckons with; level: 1 is the lowest.
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
        super().__init__()
        self.classes, self.level = classes, level
        dims = config.attention_dims
        self.embed = nn.Linear(7 + features, dims)
        # A part's template is the same in all images: its share of the embedding is made once.
        self.embed_template = nn.Linear(templates, dims, bias=False) if templates else None
        nn.init.zeros_(self.embed.bias)
        for share in (self.embed, self.embed_template):
            if share is not None:
                sonnet_normal_(share.weight, inputs=7 + features + templates)
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
        """templates: (M, numbers), or (batch, M, numbers) where they differ between images."""
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
