"""Baselines of autoencoding: k-means on pixels, and a convolutional autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.numerics import at_least_float32
from models.registry import register
from models.variant import Coded, Hyperparameters, Images, ImageShape, Optimization, Variant

_NO_PRIOR = dict.fromkeys(
    ("lin_pred_prior", "lin_match_prior"), "its code has no prior: it is no capsule model"
)


class KMeansConfig(Hyperparameters):
    """Size of the clustering, and how long it is sought."""

    clusters: int = Field(0, ge=0, description="clusters; 0: as many as classes")
    starts: int = Field(4, ge=1, description="clusterings from fresh starts; the tightest counts")
    iterations: int = Field(100, ge=1, description="iterations of a clustering at most")


@register("kmeans", task="autoencoding")
class KMeans(Variant):
    """K-means on the pixels: an image's code is its cluster, its reconstruction the cluster's mean.

    Fitted once to all training images as they are: Lloyd's iterations from k-means++ starts
    (Arthur and Vassilvitskii 2007), drawn from torch's global generator. Nothing is resized.
    """

    Config = KMeansConfig
    config: KMeansConfig
    lacks: ClassVar[Mapping[str, str]] = {
        **_NO_PRIOR,
        "nll": "clusters are no density: their width is not fitted",
    }

    def __init__(self, *, shape: ImageShape, config: KMeansConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.clusters = config.clusters or shape.classes
        size = (shape.channels, shape.height, shape.width)
        self.register_buffer("centroids", torch.zeros(self.clusters, *size))
        self.centroids: Tensor

    def forward(self, x: Tensor) -> Coded:
        """x: (batch, channels, height, width)."""
        nearest = torch.cdist(x.flatten(1), self.centroids.flatten(1)).argmin(dim=1)
        code = F.one_hot(nearest, self.clusters).to(x.dtype)
        return Coded(code, target=x, reconstruction=self.centroids[nearest])

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """`mse`: squared error, mean over pixels, channels and images."""
        coded = self(batch.x)
        assert coded.reconstruction is not None
        return {"mse": F.mse_loss(coded.reconstruction, batch.x)}, coded

    def fit(self, x: Tensor) -> None:
        """x: (n, channels, height, width), all training images."""
        points = x.flatten(1).to(self.centroids.dtype)
        found = [
            lloyd(points, plus_plus(points, self.clusters), self.config.iterations)
            for _ in range(self.config.starts)
        ]
        best = min(found, key=lambda centroids: float(_nearest(points, centroids).values.sum()))
        self.centroids.copy_(best.view_as(self.centroids))


def plus_plus(points: Tensor, clusters: int) -> Tensor:
    """K-means++: each next centroid is a point, drawn by its squared distance to the last ones.

    points: (n, dims) to (clusters, dims). Points repeat where fewer than `clusters` differ.
    """
    squares = points.square().sum(dim=1)
    chosen = [torch.randint(len(points), (1,), device=points.device)]
    distance = torch.full_like(squares, torch.inf)
    while len(chosen) < clusters:
        last = chosen[-1]
        to_last = squares + squares[last] - 2 * (points @ points[last[0]])
        distance = distance.minimum(to_last.clamp_min(0))
        weights = distance if distance.any() else torch.ones_like(distance)
        chosen.append(torch.multinomial(weights, 1))
    return points[torch.cat(chosen)]


def lloyd(points: Tensor, centroids: Tensor, iterations: int) -> Tensor:
    """Lloyd's iterations until no point changes its cluster; an empty one keeps its centroid.

    points: (n, dims), centroids: (clusters, dims) to the final centroids.
    """
    before = None
    for _ in range(iterations):
        nearest = _nearest(points, centroids).indices
        if before is not None and torch.equal(nearest, before):
            break
        member = F.one_hot(nearest, len(centroids)).to(points.dtype)
        count = member.sum(dim=0)[:, None]
        centroids = torch.where(count > 0, member.T @ points / count.clamp_min(1), centroids)
        before = nearest
    return centroids


def _nearest(points: Tensor, centroids: Tensor) -> torch.return_types.min:
    """Squared distance to the nearest centroid, less the point's own square, and which it is."""
    squares = centroids.square().sum(dim=1)
    return torch.addmm(squares, points, centroids.T, alpha=-2).min(dim=1)


class AutoencoderConfig(Hyperparameters):
    """Size and recipe of the convolutional autoencoder."""

    width: int = Field(16, ge=1, description="channels after the first convolution")
    code_dims: int = Field(32, ge=1, description="numbers of a code")
    error: Literal["mse", "bce"] = Field(
        "mse", description="what is minimised: squared error, or cross-entropy of pixels in [0, 1]"
    )
    lr: float = Field(3e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")


@register("autoencoder", task="autoencoding")
class Autoencoder(Variant):
    """A small convolutional autoencoder with a bottleneck.

    Three 3×3 convolutions of stride 2 with batch norm and ReLU, doubling the channels, and a linear
    layer to the code; the same backwards, and a sigmoid. Images of any size are taken as they are.
    """

    Config = AutoencoderConfig
    config: AutoencoderConfig
    lacks: ClassVar[Mapping[str, str]] = {
        **_NO_PRIOR,
        "nll": "it is trained by the error of its reconstruction, which is no density of pixels",
    }

    def __init__(self, *, shape: ImageShape, config: AutoencoderConfig) -> None:
        super().__init__(shape=shape, config=config)
        channels = [shape.channels, *(config.width << stage for stage in range(3))]
        sizes = [(shape.height, shape.width)]
        for _ in range(3):
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for stage, (outer, inner) in enumerate(pairwise(channels)):
            encoder += [
                nn.Conv2d(outer, inner, 3, stride=2, padding=1, bias=False),
                _norm(inner),
                nn.ReLU(),
            ]
            # Of two sides that are halved to the same, the even one asks for one pixel more.
            more = (1 - sizes[stage][0] % 2, 1 - sizes[stage][1] % 2)
            back = nn.ConvTranspose2d(
                inner, outer, 3, stride=2, padding=1, output_padding=more, bias=stage == 0
            )
            decoder = [_norm(inner), nn.ReLU(), back, *decoder]
        deepest = (channels[-1], *sizes[-1])
        self.encoder = nn.Sequential(
            *encoder, nn.Flatten(), nn.Linear(math.prod(deepest), config.code_dims)
        )
        self.expand = nn.Sequential(
            nn.Linear(config.code_dims, math.prod(deepest)), nn.Unflatten(1, deepest)
        )
        self.decoder = nn.Sequential(*decoder)

    def forward(self, x: Tensor) -> Coded:
        """x: (batch, channels, height, width)."""
        return self._coded(x)[0]

    def encode(self, x: Tensor) -> Coded:
        code = self.encoder(x.contiguous(memory_format=torch.channels_last))
        return Coded(at_least_float32(code))

    def _coded(self, x: Tensor) -> tuple[Coded, Tensor]:
        """And the reconstruction's logits."""
        code = self.encoder(x.contiguous(memory_format=torch.channels_last))
        maps = self.expand(code).contiguous(memory_format=torch.channels_last)
        logits = at_least_float32(self.decoder(maps))
        return Coded(at_least_float32(code), target=x, reconstruction=logits.sigmoid()), logits

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """`mse` or `bce`, mean over pixels, channels and images."""
        coded, logits = self._coded(batch.x)
        if self.config.error == "bce":
            error = F.binary_cross_entropy_with_logits(logits, batch.x)
        else:
            assert coded.reconstruction is not None
            error = F.mse_loss(coded.reconstruction, batch.x)
        return {self.config.error: error}, coded

    def optimization(self) -> Optimization:
        config = self.config
        return Optimization(
            torch.optim.AdamW(
                self.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
            )
        )


def _norm(channels: int) -> nn.Module:
    # The running statistics have to keep up with the weights in budgets of a hundred steps.
    return nn.BatchNorm2d(channels, momentum=0.5)
