"""Constellations: sets of points explained by object capsules.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2.1; sizes and weights as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.images import draw_discs, hues
from models.layers.numerics import at_least_float32
from models.layers.object_capsules import CapsuleLayer, Votes, gaussian_log_density, prior_sparsity
from models.layers.recipes import RecipeConfig, recipe
from models.layers.set_transformer import SetTransformer
from models.registry import register
from models.variant import (
    Coded,
    Images,
    ImageShape,
    Optimization,
    Picture,
    Points,
    PointShape,
    SourceBudget,
    Variant,
)

DUMMY = 0.01
"""Presence, before all are brought to sum 1, and density of the component for the rest."""
PRESENT_HALF = 2
"""C of the prior sparsity on constellations: each pattern is there in one of two examples."""
CANVAS = 64
"""Side of a drawn constellation, in pixels."""


class CCAEConfig(RecipeConfig):
    """Sizes, loss weights and recipe; defaults of the authors' constellations.

    The prior sparsity's weights are a departure. The authors' script passes 1 and 1, but their code
    computes these two terms from presences that are 0 or 1 (above the dummy's or not), so that they
    have no gradient. Segmentation accuracy on 2,000 validation samples after 3,000 steps, of seeds
    0 and 1, where one segment for all scores .61: .84 and .82 at the weights here; .66 and .69 at
    1 and 1; .87 and .61 without the two terms, where seed 1 uses one capsule for all points.
    """

    batch_size: int = Field(32, ge=1, description="samples in a training step")
    points: int = Field(11, ge=1, le=256, description="points drawn from an image")
    capsules: int = Field(3, ge=2, description="object capsules, K")
    votes: int = Field(4, ge=1, description="votes of a capsule, each for one point")
    capsule_dims: int = Field(32, ge=1, description="dimensions of an object capsule")
    hidden: int = Field(128, ge=1, description="hidden units of each capsule's two MLPs")
    noise: float = Field(
        2.0, ge=0, le=10, description="half-width of the noise on presence logits in training"
    )
    attention_layers: int = Field(4, ge=1, description="blocks of the Set Transformer")
    attention_heads: int = Field(4, ge=1, description="heads of each attention")
    attention_dims: int = Field(128, ge=1, description="dimensions within the Set Transformer")
    attention_out: int = Field(32, ge=1, description="dimensions that a capsule's MLP reads")
    layer_norm: bool = Field(True, description="layer norm in the Set Transformer")
    active_weight: float = Field(
        10.0, ge=0, description="weight of: active if and only if it wins more than one point"
    )
    dynamic_weight: float = Field(10.0, ge=0, description="weight of the dynamic poses' l2")
    prior_within_weight: float = Field(
        0.1, ge=0, description="weight of prior sparsity within an example"
    )
    prior_between_weight: float = Field(
        0.02, ge=0, description="weight of prior sparsity between examples"
    )
    lr: float = Field(1e-4, gt=0, description="learning rate")
    optimizer: Literal["sgd", "radam", "rmsprop"] = Field("rmsprop", description="optimiser")
    scheduler: Literal["constant", "exp", "cosrestarts"] = Field(
        "constant", description="learning rate: constant, exponential decay, cosine with restarts"
    )


class Explanation(NamedTuple):
    """How the votes explain n points."""

    log_likelihood: Tensor
    """(batch,): summed over the points that are there."""
    winner: Tensor
    """(batch, n) int64: the capsule whose vote explains a point best."""
    posterior: Tensor
    """(batch, K): Σ_n, over points that are there, of the probability that k explains n."""
    prior: Tensor
    """(batch, K): presences, those of the capsules' most present votes."""


def explain(points: Tensor, presence: Tensor, votes: Votes) -> Explanation:
    """Each point is drawn from a mixture of all votes of all capsules, and a dummy (equation 2).

    points: (batch, n, 2); presence: (batch, n). A vote's centre is where its map puts the origin.
    """
    weights = votes.log_presence
    dummy = weights.new_full((), DUMMY).log()
    total = torch.logaddexp(weights.logsumexp((0, 2)), dummy)[:, None]
    centre = votes.pose[[2, 5]].unsqueeze(-1)
    x = at_least_float32(points).movedim(-1, 0)[:, None, :, None]
    joint = weights.unsqueeze(-1) + gaussian_log_density(x, centre, votes.scale.unsqueeze(-1))
    by_capsule = joint.logsumexp(2) - total
    evidence = torch.logaddexp(by_capsule.logsumexp(0), 2 * dummy - total)
    share = (by_capsule - evidence).exp() * presence
    return Explanation(
        log_likelihood=(evidence * presence).sum(-1),
        winner=joint.amax(2).argmax(0),
        posterior=share.sum(-1).t(),
        prior=weights.amax(-1).exp().t(),
    )


def active_if_winning(winner: Tensor, presence: Tensor, logit: Tensor) -> Tensor:
    """Cross-entropy of a capsule's presence with «it wins more than one point», where it wins any.

    winner, presence: (batch, n); logit: (K, batch). Summed over capsules, mean over the batch.
    """
    capsules = torch.arange(len(logit), device=logit.device)[:, None, None]
    wins = ((winner == capsules) * presence).sum(-1)
    error = F.binary_cross_entropy_with_logits(logit, (wins > 1).to(logit), reduction="none")
    return (error * (wins > 0)).sum(0).mean()


def draw_points(x: Tensor, count: int, *, jitter: bool) -> Tensor:
    """Points where an image is bright: (batch, channels, height, width) to (batch, count, 2).

    The intensity (mean over channels) of the pixels, row by row, is cut into `count` strata of one
    mass; a point is the pixel at a random place in its stratum (`jitter`), or in the middle. A
    blank image is equally bright everywhere. (x, y) in [−1, 1].
    """
    batch, _, height, width = x.shape
    mass = (x.mean(1).flatten(1) + 1e-6).cumsum(1)
    place = torch.rand(batch, count, dtype=x.dtype, device=x.device) if jitter else 0.5
    place = (torch.arange(count, dtype=x.dtype, device=x.device) + place) / count
    pixel = torch.searchsorted(mass, (place * mass[:, -1:]).contiguous())
    pixel = pixel.clamp_max(height * width - 1)
    column, row = (pixel % width).to(x.dtype), (pixel // width).to(x.dtype)
    return torch.stack([(2 * column + 1) / width, (2 * row + 1) / height], -1) - 1


@register("ccae", task="autoencoding")
class CCAE(Variant):
    """The constellation capsule autoencoder (Kosiorek et al. 2019, section 2.1).

    On constellations it reads the points themselves. An image of any size is read as `points`
    points drawn from its intensity: at random within strata of one mass in training, at their
    middles otherwise; a colour image by the mean of its channels. The code is the posterior mass
    of each capsule, the prior the capsules' presences; three capsules, the paper's number for its
    three patterns, are few for an image: spaces and presets have more.
    """

    Config = CCAEConfig
    config: CCAEConfig
    published_budgets: ClassVar = {
        "constellations": SourceBudget(
            "the authors: batches of 32 fresh samples; an epoch of 10,000 is our choice",
            train_samples=10_000,
            steps=300_000,
        )
    }
    lacks: ClassVar[Mapping[str, str]] = {
        "mse": "it reconstructs points, not pixels",
        "nll": "its likelihood is that of points, not of pixels",
    }
    also_on = ("constellations",)

    def __init__(self, *, shape: ImageShape | PointShape, config: CCAEConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.classes = shape.classes if isinstance(shape, ImageShape) else PRESENT_HALF
        self.embed = nn.Linear(2, config.attention_dims)
        self.encoder = SetTransformer(
            layers=config.attention_layers,
            heads=config.attention_heads,
            dims=config.attention_dims,
            seeds=config.capsules,
            out=config.attention_out,
            layer_norm=config.layer_norm,
        )
        self.capsules = CapsuleLayer(
            capsules=config.capsules,
            votes=config.votes,
            inputs=config.attention_out,
            dims=config.capsule_dims,
            hidden=config.hidden,
            noise=config.noise,
            similarity=True,
        )

    @property
    def loss_weights(self) -> dict[str, float]:
        return {
            "active": self.config.active_weight,
            "dynamic": self.config.dynamic_weight,
            "prior_within": self.config.prior_within_weight,
            "prior_between": self.config.prior_between_weight,
        }

    def forward(self, x: Tensor) -> Coded:
        """x: (batch, channels, height, width), or (batch, n, 3) of x, y, presence."""
        points, presence = self._points(x)
        return self._coded(x, explain(points, presence, self._votes(points, presence)))

    def loss(self, batch: Images | Points) -> tuple[dict[str, Tensor], Coded]:
        """`points`, their negative log-likelihood; `active`, `dynamic`, and prior sparsity."""
        points, presence = self._points(batch.x)
        votes = self._votes(points, presence)
        found = explain(points, presence, votes)
        terms = {
            "points": -found.log_likelihood.mean(),
            "active": active_if_winning(found.winner, presence, votes.capsule_logit),
            "dynamic": votes.dynamic,
            **prior_sparsity(found.prior, self.classes),
        }
        return terms, self._coded(batch.x, found)

    def optimization(self) -> Optimization:
        return recipe([{"params": list(self.parameters())}], self.config)

    def pictures(self, batch: Images | Points) -> dict[str, Picture]:
        """Points in the colours of their capsules, under the image or the true patterns."""
        points, presence = self._points(batch.x)
        winner = explain(points, presence, self._votes(points, presence)).winner
        colours = hues(self.config.capsules).to(points)
        found = colours[winner] * presence.unsqueeze(-1)
        if isinstance(self.shape, PointShape):
            assert isinstance(batch, Points)
            black = points.new_zeros(len(points), 1, CANVAS, CANVAS)
            truth = hues(self.shape.patterns).to(points)[batch.pattern]
            above = draw_discs(points, truth * presence.unsqueeze(-1), ground=black)
            return {"constellations": [list(above), list(draw_discs(points, found, ground=black))]}
        image = F.interpolate(batch.x, size=(CANVAS, CANVAS))
        grey = image.mean(1, keepdim=True) / 2
        return {"constellations": [list(image), list(draw_discs(points, found, ground=grey))]}

    def _points(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points (batch, n, 2), and their presences (batch, n)."""
        if isinstance(self.shape, PointShape):
            return x[..., :2], x[..., 2]
        points = draw_points(x, self.config.points, jitter=self.training)
        return points, torch.ones_like(points[..., 0])

    def _votes(self, points: Tensor, presence: Tensor) -> Votes:
        return self.capsules(self.encoder(self.embed(points), presence))

    def _coded(self, x: Tensor, found: Explanation) -> Coded:
        segments = found.winner if isinstance(self.shape, PointShape) else None
        return Coded(found.posterior, found.prior, segments=segments)
