"""Defines the autoencoding baselines: k-means on pixels, and a convolutional autoencoder.

The textbook version of the autoencoder is models/textbook/autoencoder.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.numerics import at_least_float32
from models.layers.recipes import adamw
from models.registry import register
from models.variant import Coded, Hyperparameters, Images, ImageShape, Optimization, Variant

BLOCK_POINTS = 1_000
"""Points that k-means reads at a time, so that their floats stay in the processor's cache."""
_NO_PRIOR = dict.fromkeys(
    ("lin_pred_prior", "lin_match_prior"), "its code has no prior, since it is no capsule model"
)


class KMeansConfig(Hyperparameters):
    """Holds the number of clusters, of clusterings and of iterations."""

    clusters: int = Field(0, ge=0, description="number of clusters; 0: the number of classes")
    starts: int = Field(
        4, ge=1, description="clusterings, each from its own random start; the best is kept"
    )
    iterations: int = Field(100, ge=1, description="largest number of iterations of a clustering")


@register("kmeans", task="autoencoding")
class KMeans(Variant):
    """Clusters images by k-means on their pixels.

    An image's code is its cluster as a one-hot vector; its reconstruction is the cluster's mean.
    The clustering is fitted once, to all training images, by Lloyd's iterations from several
    k-means++ starts (Arthur and Vassilvitskii 2007), drawn from torch's global generator. The
    clustering with the smallest total squared distance is kept. Images are read in blocks, and each
    block is assigned to the clusters of all clusterings at once. Nothing is resized.
    """

    Config = KMeansConfig
    config: KMeansConfig
    undefined_metrics: ClassVar[Mapping[str, str]] = {
        **_NO_PRIOR,
        "nll": "k-means fits no density: its clusters have no width",
    }

    def __init__(self, *, shape: ImageShape, config: KMeansConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.clusters = config.clusters or shape.classes
        size = (shape.channels, shape.height, shape.width)
        self.register_buffer("centroids", torch.zeros(self.clusters, *size))
        self.centroids: Tensor

    def forward(self, x: Tensor) -> Coded:
        """Assigns images to their nearest clusters.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            One-hot codes (batch, clusters), the images as target, and the clusters' means.
        """
        nearest = torch.cdist(x.flatten(1), self.centroids.flatten(1)).argmin(dim=1)
        code = F.one_hot(nearest, self.clusters).to(x.dtype)
        return Coded(code, target=x, reconstruction=self.centroids[nearest])

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """Computes the loss term `mse`, the mean squared error over images, channels and pixels.

        Args:
            batch: images; labels are not read.

        Returns:
            The loss term by name, and the output of `forward`.
        """
        coded = self(batch.x)
        assert coded.reconstruction is not None
        return {"mse": F.mse_loss(coded.reconstruction, batch.x)}, coded

    def fit(self, x: Tensor) -> None:
        """Fits the clusters to images.

        Args:
            x: (n, channels, height, width) uint8 from 0 to 255, all training images.
        """
        points = x.flatten(1)
        clusterings = lloyd(
            points,
            kmeans_plus_plus(points, self.clusters, self.config.starts),
            self.config.iterations,
        )
        block_distances = [
            _nearest(block, clusterings).values.sum(dim=0) for block in _blocks(points)
        ]
        best = clusterings[torch.stack(block_distances).sum(dim=0).argmin()]
        self.centroids.copy_(best.view_as(self.centroids) / 255)


def kmeans_plus_plus(points: Tensor, clusters: int, starts: int) -> Tensor:
    """Draws the first centroids of several clusterings by k-means++.

    Each centroid is a point. The first one is drawn uniformly; each further one with a probability
    proportional to the point's squared distance to the nearest centroid so far. If fewer than
    `clusters` points differ, points are drawn repeatedly.

    Args:
        points: (n, dims), of any number type.
        clusters: centroids per clustering.
        starts: number of clusterings, which are drawn independently.

    Returns:
        (starts, clusters, dims) floats.
    """
    chosen = torch.randint(len(points), (starts, 1), device=points.device)
    distance = torch.full((starts, len(points)), torch.inf, device=points.device)
    while chosen.shape[1] < clusters:
        last = at_least_float32(points[chosen[:, -1:]])
        to_last = [
            block.square().sum(dim=1, keepdim=True) + _nearest(block, last).values
            for block in _blocks(points)
        ]
        distance = distance.minimum(torch.cat(to_last).T.clamp_min(0))
        any_apart = distance.any(dim=1, keepdim=True)
        drawn = torch.multinomial(distance.where(any_apart, torch.ones_like(distance)), 1)
        chosen = torch.cat([chosen, drawn], dim=1)
    return at_least_float32(points[chosen])


def lloyd(points: Tensor, centroids: Tensor, iterations: int) -> Tensor:
    """Runs Lloyd's iterations for several clusterings at once, until no point changes its cluster.

    An empty cluster keeps its centroid. Points are read in blocks. The memory needed beside the
    points is one block of floats, and the cluster of each point.

    Args:
        points: (n, dims), of any number type.
        centroids: (starts, clusters, dims) floats, the first centroids of each clustering.
        iterations: the largest number of iterations.

    Returns:
        (starts, clusters, dims), the final centroids.
    """
    starts, clusters, _ = centroids.shape
    before = None
    for _ in range(iterations):
        nearest: list[Tensor] = []
        total, count = torch.zeros_like(centroids), centroids.new_zeros(starts, clusters, 1)
        for block in _blocks(points):
            nearest.append(_nearest(block, centroids).indices)
            member = F.one_hot(nearest[-1], clusters).to(block.dtype)
            count += member.sum(dim=0)[..., None]
            total += (member.flatten(1).T @ block).view_as(total)
        now = torch.cat(nearest)
        if before is not None and torch.equal(now, before):
            break
        centroids = torch.where(count > 0, total / count.clamp_min(1), centroids)
        before = now
    return centroids


def _blocks(points: Tensor) -> Iterator[Tensor]:
    """Yields the points block by block, as floats (at most 1,000, dims)."""
    for block in points.split(BLOCK_POINTS):
        yield at_least_float32(block)


def _nearest(points: Tensor, centroids: Tensor) -> torch.return_types.min:
    """Finds the nearest centroid of each point in each clustering.

    Args:
        points: (n, dims).
        centroids: (starts, clusters, dims).

    Returns:
        Values (n, starts): squared distances minus the point's squared norm. Then indices (n,
        starts).
    """
    squares = centroids.square().sum(dim=2).flatten()
    far = torch.addmm(squares, points, centroids.flatten(0, 1).T, alpha=-2)
    return far.view(len(points), *centroids.shape[:2]).min(dim=2)


class AutoencoderConfig(Hyperparameters):
    """Holds the size and the recipe of the convolutional autoencoder."""

    width: int = Field(16, ge=1, description="channels after the first convolution")
    code_dims: int = Field(32, ge=1, description="dimensions of the code")
    error: Literal["mse", "bce"] = Field(
        "mse", description="loss: squared error (mse), or cross-entropy of pixels in [0, 1] (bce)"
    )
    lr: float = Field(3e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")


@register("autoencoder", task="autoencoding")
class Autoencoder(Variant):
    """Encodes images by a small convolutional network with a bottleneck, and decodes the code.

    The encoder has three 3×3 convolutions of stride 2, with batch norm and ReLU; each after the
    first doubles the channels. A linear layer computes the code. The decoder mirrors the encoder,
    and ends in a sigmoid. Images of any size are taken as they are.
    """

    Config = AutoencoderConfig
    config: AutoencoderConfig
    undefined_metrics: ClassVar[Mapping[str, str]] = {
        **_NO_PRIOR,
        "nll": "it is trained on the reconstruction error, which is no density of pixels",
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
            # Sides of 2n - 1 and of 2n pixels are both halved to n; the latter needs padding by 1.
            output_padding = (1 - sizes[stage][0] % 2, 1 - sizes[stage][1] % 2)
            upsample = nn.ConvTranspose2d(
                inner, outer, 3, stride=2, padding=1, output_padding=output_padding, bias=stage == 0
            )
            decoder = [_norm(inner), nn.ReLU(), upsample, *decoder]
        deepest = (channels[-1], *sizes[-1])
        self.encoder = nn.Sequential(
            *encoder, nn.Flatten(), nn.Linear(math.prod(deepest), config.code_dims)
        )
        self.expand = nn.Sequential(
            nn.Linear(config.code_dims, math.prod(deepest)), nn.Unflatten(1, deepest)
        )
        self.decoder = nn.Sequential(*decoder)

    def forward(self, x: Tensor) -> Coded:
        """Encodes and reconstructs images.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            Codes (batch, code_dims), the images as target, and their reconstructions.
        """
        return self._coded(x)[0]

    def encode(self, x: Tensor) -> Coded:
        code = self.encoder(x.contiguous(memory_format=torch.channels_last))
        return Coded(at_least_float32(code))

    def _coded(self, x: Tensor) -> tuple[Coded, Tensor]:
        """Returns the output of `forward`, and the logits of the reconstruction."""
        code = self.encoder(x.contiguous(memory_format=torch.channels_last))
        maps = self.expand(code).contiguous(memory_format=torch.channels_last)
        logits = at_least_float32(self.decoder(maps))
        return Coded(at_least_float32(code), target=x, reconstruction=logits.sigmoid()), logits

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """Computes the loss term `mse` or `bce`, the mean over images, channels and pixels.

        Args:
            batch: images; labels are not read.

        Returns:
            The loss term by name, and the output of `forward`.
        """
        coded, logits = self._coded(batch.x)
        if self.config.error == "bce":
            error = F.binary_cross_entropy_with_logits(logits, batch.x)
        else:
            assert coded.reconstruction is not None
            error = F.mse_loss(coded.reconstruction, batch.x)
        return {self.config.error: error}, coded

    def optimization(self) -> Optimization:
        config = self.config
        return Optimization(adamw(self, lr=config.lr, weight_decay=config.weight_decay))


def _norm(channels: int) -> nn.Module:
    """Builds batch norm with a momentum of 0.5."""
    # With a momentum of 0.5 the running statistics follow the weights in runs of a hundred steps.
    return nn.BatchNorm2d(channels, momentum=0.5)
