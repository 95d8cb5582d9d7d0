"""Implements part capsules as public code does: templates copied per image, and autograd."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pose_matrix(numbers: Tensor) -> Tensor:
    """Computes pose matrices (..., 3, 3): translation · rotation · shear · scale.

    They are computed from (..., 6) numbers, or from (..., 4) for similarity transforms.
    """
    if numbers.shape[-1] == 4:
        scale, rotation, x, y = numbers.unbind(-1)
        scale_x = scale_y = torch.sigmoid(scale) + 0.01
        shear = torch.zeros_like(scale)
    else:
        scale_x, scale_y, rotation, shear, x, y = numbers.unbind(-1)
        scale_x, scale_y = torch.sigmoid(scale_x) + 0.01, torch.sigmoid(scale_y) + 0.01
        shear = torch.tanh(5 * shear)
    rotation = 2 * math.pi * rotation
    x, y = torch.tanh(5 * x), torch.tanh(5 * y)
    cos, sin = torch.cos(rotation), torch.sin(rotation)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    first = [scale_x * cos + shear * scale_y * sin, -scale_x * sin + shear * scale_y * cos, x]
    second = [scale_y * sin, scale_y * cos, y]
    rows = [torch.stack(row, -1) for row in (first, second, [zero, zero, one])]
    return torch.stack(rows, -2)


class Parts(nn.Module):
    """Implements Kosiorek et al. 2019, section 2.2, with the parameters of one of our variants."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        network = copy.deepcopy(model.network)
        self.config, self.views = model.config, network.views
        self.classes = model.shape.classes
        self.features, self.pooling = network.encoder.features, network.encoder.pooling
        self.decoder = network.decoder

    def encode(self, image: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
        """Finds the parts of images (batch, channels, height, width) on the canvas.

        Returns pose matrices (batch, M, 3, 3), presence logits (batch, M) and features (batch, M,
        F).
        """
        config = self.config
        maps = self.maps(image) + self.pooling.position
        pooled = F.conv2d(maps, self.both("weight")[..., None, None], self.both("bias"))
        (batch, _, height, width), parts = pooled.shape, config.part_capsules
        numbers, attention = pooled[:, :-parts], pooled[:, -parts:]
        numbers = numbers.reshape(batch, parts, -1, height, width)
        attention = attention.exp() / attention.exp().sum((2, 3), keepdim=True)
        numbers = (numbers * attention[:, :, None]).sum((3, 4))
        dims = config.part_dims
        logit = numbers[..., dims] + noise * (2 * torch.rand_like(numbers[..., dims]) - 1)
        return pose_matrix(numbers[..., :dims]), logit, numbers[..., dims + 1 :]

    def maps(self, image: Tensor) -> Tensor:
        """Computes the maps of images, by the authors' four convolutions for the kind `conv`.

        The remaining kinds of encoder have no source but ours; our encoder is called for them.
        """
        if self.config.encoder != "conv":
            return torch.as_tensor(self.features(image))
        layers = [layer for layer in self.features if isinstance(layer, nn.Conv2d)]
        for layer, stride in zip(layers, (2, 2, 1, 1), strict=True):
            image = F.relu(F.conv2d(image, layer.weight, layer.bias, stride))
        return image

    def both(self, name: str) -> Tensor:
        """Concatenates a parameter of the two pooling layers: first that for the parts' numbers,
        then that for attention.

        Args:
            name: the name of the parameter, `weight` or `bias`.
        """
        pooling = self.pooling
        return torch.cat([getattr(pooling.numbers, name), getattr(pooling.attention, name)])

    def templates(self, features: Tensor) -> Tensor:
        """Returns templates (M, channels, side, side).

        If they are coloured, returns (batch, M, channels, side, side).
        """
        templates = torch.sigmoid(self.decoder.template_logits)
        if self.decoder.colour is None:
            return templates
        first, _, last = self.decoder.colour
        hidden = F.relu(features @ first.weight.t() + first.bias)
        colour = torch.sigmoid(hidden @ last.weight.t() + last.bias)
        return templates * colour[..., None, None]

    def decode(
        self, pose: Tensor, presence: Tensor, features: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Computes the log-likelihood (batch,) of the target, and the mixture's mean."""
        batch, channels, height, width = target.shape
        decoder = self.decoder
        parts = presence.shape[1]
        maps = torch.inverse(pose) if self.config.invert else pose
        size = (batch * parts, 1, height, width)
        grid = F.affine_grid(maps[..., :2, :].flatten(0, 1), list(size), align_corners=True)

        def draw(templates: Tensor) -> Tensor:
            copies = templates.expand(batch, *templates.shape[-4:]).flatten(0, 1)
            return F.grid_sample(copies, grid, align_corners=True).unflatten(0, (batch, parts))

        ground = torch.sigmoid(decoder.background)[None, None, :, None, None]
        ground = ground.expand(batch, 1, channels, height, width)
        values = torch.cat([draw(self.templates(features)), ground], 1)
        present = torch.cat([presence, torch.ones_like(presence[:, :1])], 1)
        if decoder.alpha is None:
            temperature = F.softplus(decoder.temperature + 0.5) + 1e-4
            logits = values.mean(2, keepdim=True) / temperature
        else:
            ground_logit = F.softplus(decoder.background_logit).expand(batch, 1, 1, height, width)
            logits = torch.cat([draw(decoder.alpha), ground_logit], 1)
        logits = logits + torch.log(present)[..., None, None, None]
        mixing = torch.log_softmax(logits, 1)
        log_density = torch.distributions.Normal(values, 1.0).log_prob(target[:, None])
        joint = mixing + log_density.sum(2, keepdim=True)
        log_likelihood = torch.logsumexp(joint, 1).sum((1, 2, 3))
        return log_likelihood, torch.sum(mixing.exp() * values, 1)

    def image_loss(
        self, presence: Tensor, log_likelihood: Tensor, mean: Tensor, target: Tensor
    ) -> Tensor:
        """Computes the weighted sum of the loss terms of the part autoencoder."""
        config = self.config
        (batch, parts), classes = presence.shape, self.classes
        perfect = torch.distributions.Normal(target[0], 1.0).log_prob(target[0]).sum()
        loss = config.likelihood_weight * (perfect - log_likelihood.mean())
        loss = loss + config.template_l1_weight * torch.sigmoid(self.decoder.template_logits).mean()
        loss = loss + config.mse_weight * ((mean - target) ** 2).mean()
        within = ((presence.sum(1) - parts / classes) ** 2).mean()
        between = ((presence.sum(0) - batch / classes) ** 2).mean()
        loss = loss + config.presence_within_weight * within
        return loss + config.presence_between_weight * between

    def loss_and_parts(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Computes the weighted loss of the images, and what it is computed from.

        Returns the loss, pose matrices (batch, M, 3, 3), presences (batch, M) and features (batch,
        M, F).
        """
        image, target = self.views(batch.x, shifted=self.training)
        noise = self.config.presence_noise if self.training else 0
        pose, logit, features = self.encode(image, noise)
        presence = torch.sigmoid(logit)
        log_likelihood, mean = self.decode(pose, presence, features, target)
        loss = self.image_loss(presence, log_likelihood, mean, target)
        return loss, pose, presence, features


class PCAE(Parts):
    """Implements the part autoencoder alone."""

    def loss(self, batch: Any) -> Tensor:
        """Computes the weighted loss of a batch of images."""
        return self.loss_and_parts(batch)[0]


textbook = PCAE
