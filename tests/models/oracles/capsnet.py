"""CapsNet as most write it: two convolutions, einsum votes, einsum routing left to autograd."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def squash(s: Tensor) -> Tensor:
    """Equation 1, kept from dividing by zero."""
    squared = (s**2).sum(-1, keepdim=True)
    return squared / (1 + squared) * s / (squared + 1e-18).sqrt()


class CapsNet(nn.Module):
    """Sabour et al. 2017, section 4, with the parameters of a variant of ours."""

    over = "outputs"
    squared = True
    masked_by_truth = True

    def __init__(self, model: Any) -> None:
        super().__init__()
        config, network, primary = model.config, model.network, model.network.primary
        self.rescale = network.rescale
        self.iterations = config.routing_iterations
        self.reconstruction_weight = config.reconstruction_weight
        self.dim = config.primary_dim
        self.conv1 = nn.Conv2d(*primary.features.weight.shape[1::-1], 9)
        self.conv2 = nn.Conv2d(*primary.capsules.weight.shape[1::-1], 9, stride=2)
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
        """Our weights' inputs are ordered by position, then type; here by type, then position."""
        types = self.conv2.out_channels // self.dim
        return rearrange(weight, "(yx k) p j d -> (k yx) j d p", k=types)

    def capsules(self, image: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, classes, dims)."""
        maps = self.conv2(F.relu(self.conv1(image)))
        u = squash(rearrange(maps, "b (k p) y x -> b (k y x) p", p=self.dim))
        votes = torch.einsum("ijdp,bip->bijd", self.W, u)
        logits = votes.new_zeros(votes.shape[:3])
        for iteration in range(self.iterations):
            coupling = logits.softmax(2 if self.over == "outputs" else 1)
            v = squash(torch.einsum("bij,bijd->bjd", coupling, votes))
            if iteration < self.iterations - 1:
                logits = logits + torch.einsum("bijd,bjd->bij", votes, v)
        return v

    def forward(self, x: Tensor) -> Tensor:
        return (self.capsules(self.rescale(x)) ** 2).sum(-1).sqrt()

    def loss(self, batch: Any) -> Tensor:
        image = self.rescale(batch.x)
        v = self.capsules(image)
        lengths = (v**2).sum(-1).sqrt()
        truth = torch.zeros_like(lengths).scatter(1, batch.y, 1.0)
        present, absent = F.relu(0.9 - lengths), F.relu(lengths - 0.1)
        if self.squared:
            present, absent = present**2, absent**2
        margin = (truth * present + 0.5 * (1 - truth) * absent).sum(1).mean()
        best = lengths.topk(batch.y.shape[1]).indices
        mask = truth if self.masked_by_truth else torch.zeros_like(lengths).scatter(1, best, 1.0)
        error = (self.decoder((v * mask[..., None]).flatten(1)) - image.flatten(1)) ** 2
        return margin + self.reconstruction_weight * self.reduce(error)

    def reduce(self, error: Tensor) -> Tensor:
        return error.sum(1).mean()


textbook = CapsNet
