"""Implements CapsNet as most do: two convolutions, einsum for votes and routing, autograd.

With the options of the authors' TensorFlow code it does as that code does: SAME padding, a leak in
both softmaxes, biases added after the routing of both layers, halved margins.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def squash(s: Tensor) -> Tensor:
    """Squashes vectors (..., dims) by equation 1, with an epsilon against division by zero."""
    squared = (s**2).sum(-1, keepdim=True)
    return squared / (1 + squared) * s / (squared + 1e-18).sqrt()


class CapsNet(nn.Module):
    """Implements Sabour et al. 2017, section 4, with the parameters of one of our variants."""

    over = "outputs"
    squared = True
    masked_by_truth = True

    def __init__(self, model: Any) -> None:
        super().__init__()
        config, network, primary = model.config, model.network, model.network.primary
        self.rescale, self.standardise = network.rescale, config.standardise
        self.same, self.leaky, self.code, self.side = (
            getattr(config, name, None)
            for name in ("same_padding", "none_of_the_above", "follow", "crop")
        )
        given = network.digits.bias
        self.bias = None if given is None else nn.Parameter(given.detach().clone())
        self.iterations = config.routing_iterations
        self.reconstruction_weight = config.reconstruction_weight
        self.dim = config.primary_dim
        maps, channels = primary.features.weight.shape[:2]
        self.conv1 = nn.Conv2d(channels, maps, 9)
        self.conv2 = nn.Conv2d(maps, primary.capsules.weight.shape[0], 9, stride=2)
        self.conv1.load_state_dict(primary.features.state_dict())
        self.conv2.load_state_dict(primary.capsules.state_dict())
        self.W = nn.Parameter(self.type_first(network.digits.weight.detach()).clone())
        layers: list[nn.Module] = []
        for layer in network.decoder.layers:
            if isinstance(layer, nn.Linear):
                copy = nn.Linear(layer.in_features, layer.out_features)
                copy.load_state_dict(layer.state_dict())
                layers += [copy, nn.ReLU()]
        self.decoder = nn.Sequential(*layers[:-1], nn.Sigmoid())
        self.to(self.W.dtype)

    def type_first(self, weight: Tensor) -> Tensor:
        """Reorders the inputs of the votes' weights from (position, type) to (type, position)."""
        types = self.conv2.out_channels // self.dim
        return rearrange(weight, "(yx k) p j d -> (k yx) j d p", k=types)

    def evaluation_view(self, x: Tensor) -> Tensor:
        """Rescales images, and crops their centre if the model crops."""
        image = self.rescale(x)
        if not self.side:
            return image
        height, width = image.shape[2:]
        top, left = (height - self.side) // 2, (width - self.side) // 2
        return image.narrow(2, top, self.side).narrow(3, left, self.side)

    def normalised(self, image: Tensor) -> Tensor:
        """Standardises images if the model does; 0.02 is added to the deviation."""
        if not self.standardise:
            return image
        centred = image - image.mean((1, 2, 3), keepdim=True)
        deviation = (centred**2).mean((1, 2, 3), keepdim=True).sqrt()
        return centred / (deviation + 0.02)

    def maps(self, image: Tensor) -> Tensor:
        """Computes both convolutions, the second one without its bias."""
        kernel = self.conv2.weight
        if not self.same:
            return F.conv2d(F.relu(self.conv1(image)), kernel, stride=2)
        first = F.relu(F.conv2d(image, self.conv1.weight, self.conv1.bias, padding="same"))
        rows, columns = (slice(1 - side % 2, None, 2) for side in image.shape[2:])
        return F.conv2d(first, kernel, padding="same")[:, :, rows, columns]

    def primary(self, image: Tensor) -> Tensor:
        """Computes primary capsules: (batch, types · positions, dims)."""
        votes = rearrange(self.maps(image), "b (k p) y x -> b k p y x", p=self.dim)
        if self.code == "code":
            votes = self.softmax(torch.zeros_like(votes[:, :, 0]), 1)[:, :, None] * votes
        assert self.conv2.bias is not None
        votes = votes + self.conv2.bias.view(-1, self.dim, 1, 1)
        return squash(rearrange(votes, "b k p y x -> b (k y x) p"))

    def softmax(self, logits: Tensor, dim: int) -> Tensor:
        """Computes the softmax over `dim`, with a further zero logit (leak) if the model has it."""
        if not self.leaky:
            return logits.softmax(dim)
        leak = torch.zeros_like(logits).sum(dim, keepdim=True)
        return torch.cat([leak, logits], dim).softmax(dim).narrow(dim, 1, logits.shape[dim])

    def capsules(self, image: Tensor) -> Tensor:
        """Computes class capsules (batch, classes, dims) from images."""
        u = self.primary(self.normalised(image))
        votes = torch.einsum("ijdp,bip->bijd", self.W, u)
        logits = votes.new_zeros(votes.shape[:3])
        for iteration in range(self.iterations):
            coupling = self.softmax(logits, 2 if self.over == "outputs" else 1)
            s = torch.einsum("bij,bijd->bjd", coupling, votes)
            v = squash(s if self.bias is None else s + self.bias)
            if iteration < self.iterations - 1:
                logits = logits + torch.einsum("bijd,bjd->bij", votes, v)
        return v

    def forward(self, x: Tensor) -> Tensor:
        """Computes the lengths of class capsules (batch, classes) from images."""
        return (self.capsules(self.evaluation_view(x)) ** 2).sum(-1).sqrt()

    def loss(self, batch: Any) -> Tensor:
        """Computes the weighted sum of margin and reconstruction loss, without augmentation."""
        image = self.evaluation_view(batch.x)
        v = self.capsules(image)
        lengths = (v**2).sum(-1).sqrt()
        truth = torch.zeros_like(lengths).scatter(1, batch.y, 1.0)
        present, absent = F.relu(0.9 - lengths), F.relu(lengths - 0.1)
        if self.squared:
            present, absent = present**2, absent**2
        margin = (truth * present + 0.5 * (1 - truth) * absent).sum(1).mean()
        if self.code == "code":
            margin = margin / 2
        best = lengths.topk(batch.y.shape[1]).indices
        mask = truth if self.masked_by_truth else torch.zeros_like(lengths).scatter(1, best, 1.0)
        error = (self.decoder((v * mask[..., None]).flatten(1)) - image.flatten(1)) ** 2
        return margin + self.reconstruction_weight * self.reduce(error)

    def reduce(self, error: Tensor) -> Tensor:
        """Reduces squared errors (batch, numbers): a sum over the image, a mean over the batch."""
        return error.sum(1).mean()


textbook = CapsNet
