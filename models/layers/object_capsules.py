"""Implements object capsules: wholes that vote for the poses of their parts.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
sections 2.1 (constellations) and 2.3 (objects of parts); details follow the authors' code.
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
from models.layers.numerics import LOG_SQRT_TAU, at_least_float32
from models.layers.parts import Parts
from models.layers.set_transformer import SetTransformer
from models.layers.sparsity import posterior_sparsity, prior_sparsity
from models.variant import Hyperparameters

T = TypeVar("T")

BACKGROUND_LOG_JOINT = 2 * math.log(0.01)
"""Log of the background component for any part: presence 0.01 times density 0.01."""
SCALE_LOGIT_BOUND = 10.0
"""Bound of the logit of a scale, approached smoothly: scales are between 0.01 and 10.52."""


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
