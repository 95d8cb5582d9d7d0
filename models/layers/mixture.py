"""Computes the likelihood of images in which a part, or the background, draws each pixel.

Kosiorek et al. 2019, section 2.2: a Gaussian mixture at each pixel, over transformed templates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_NUMBERS = 2**18
"""Numbers per tensor in a chunk of images, so that the tensors stay in the processor's cache."""


class PixelMixture(NamedTuple):
    """Holds the likelihood, the mean and the weights of the mixtures of a batch of images."""

    log_likelihood: Tensor
    """(batch,) nats, summed over pixels and channels."""
    mean: Tensor
    """(batch, channels, height, width): Σ mixing weight · value."""
    mixing: Tensor
    """(M, batch, height, width): weights of the parts; the background's is 1 minus their sum."""
    responsibility: Tensor
    """(M, batch, height, width): posterior weights of the parts, given the image."""


def pixel_mixture(
    image: Tensor,
    drawn: Tensor,
    colour: Tensor | None,
    sharpness: Tensor | None,
    log_presence: Tensor,
    background: Tensor,
    background_logit: Tensor,
) -> PixelMixture:
    """Mixes parts and background: Σ_m softmax_m(logit_m + log presence_m) N(image; value_m, 1).

    A component draws all channels of a pixel. Since values, background and image are in [0, 1], a
    density is at least exp(-channels/2) times the largest one. Therefore the sums need only the
    maximum of the logits, and no logarithm of zero is taken.

    Args:
        image: (batch, channels, height, width).
        drawn: (M, planes, batch, height, width). The first planes are the parts' values: one plane
            per channel, or a single plane that `colour` multiplies. Without `sharpness`, the last
            plane is the parts' logits.
        colour: (batch, M, channels), or None.
        sharpness: scalar; the logits are this times the mean of the values over channels. Or None.
        log_presence: (batch, M); the background's is 0.
        background: (channels,), the background's value.
        background_logit: scalar.

    Returns:
        Likelihood and mean, which have gradients. Mixing weights and responsibilities, which have
        none.
    """
    return PixelMixture(
        *_Mixture.apply(image, drawn, colour, sharpness, log_presence, background, background_logit)
    )


class _Mixture(torch.autograd.Function):
    """Computes the mixture and its gradients, from mixing weights p_m and responsibilities r_m.

    Autograd would keep a dozen tensors of their size. ∂ log p/∂ logit_m = r_m − p_m, and ∂ log p/∂
    value_m = r_m (x − value_m).
    """

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        drawn: Tensor,
        colour: Tensor | None,
        sharpness: Tensor | None,
        log_presence: Tensor,
        background: Tensor,
        background_logit: Tensor,
    ) -> tuple[Tensor, ...]:
        mixing, responsibility = torch.empty_like(drawn[:, 0]), torch.empty_like(drawn[:, 0])
        log_likelihood = image.new_empty(len(image))
        mean = torch.empty_like(image)
        background_value = background[:, None, None]
        for chunk in _image_slices(mixing):
            x, value = image[chunk], _part_values(drawn[:, :, chunk], colour, sharpness, chunk)
            present = log_presence[chunk].T[:, :, None, None]
            if sharpness is None:
                logit = drawn[:, -1, chunk] + present
            else:
                logit = torch.addcmul(present, _channel_mean(value), sharpness)
            top = torch.maximum(logit.amax(0), background_logit)
            weight = torch.exp(logit.sub_(top), out=mixing[:, chunk])
            rest = (background_logit - top).exp()
            density = torch.exp(_add_log_density(logit, x, value), out=responsibility[:, chunk])
            background_density = rest * (-0.5 * (x - background_value).square().sum(1)).exp()
            total, evidence = weight.sum(0).add_(rest), density.sum(0).add_(background_density)
            log_likelihood[chunk] = (evidence / total).log().flatten(1).sum(1)
            weight.mul_(total.reciprocal())
            density.mul_(evidence.reciprocal())
            own = rest / total
            for c in range(x.shape[1]):
                mean[chunk, c] = (weight * value[:, c]).sum(0).addcmul_(own, background[c])
        log_likelihood -= image[0].numel() * math.log(2 * math.pi) / 2
        ctx.save_for_backward(
            image, drawn, colour, sharpness, mean, mixing, responsibility, background
        )
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mixing, responsibility)
        return log_likelihood, mean, mixing, responsibility

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor | None, grad_mean: Tensor | None, *_: None
    ) -> tuple[Tensor | None, ...]:
        image, drawn, colour, sharpness, mean, mixing, responsibility, background = (
            ctx.saved_tensors
        )
        batch, channels = image.shape[:2]
        grad = image.new_zeros(batch) if grad is None else grad
        grad_drawn = torch.empty_like(drawn)
        grad_colour = None if colour is None else torch.empty_like(colour)
        grad_presence = mixing.new_empty(len(mixing), batch)
        grad_ground, grad_sharpness = torch.zeros_like(background), mixing.new_zeros(())
        for chunk in _image_slices(mixing):
            p, r, g = mixing[:, chunk], responsibility[:, chunk], grad[chunk][:, None, None]
            x, value = image[chunk], _part_values(drawn[:, :, chunk], colour, sharpness, chunk)
            g_value = grad_drawn[:, :, chunk] if colour is None else torch.empty_like(value)
            g_density = r * g
            g_logit = grad_drawn[:, -1, chunk] if sharpness is None else None
            g_logit = torch.addcmul(g_density, p, g, value=-1, out=g_logit)
            own, g_own = 1 - p.sum(0), g - g_density.sum(0)
            for c in range(channels):
                torch.sub(x[:, c], value[:, c], out=g_value[:, c]).mul_(g_density)
                g_ground = g_own * (x[:, c] - background[c])
                if grad_mean is not None:
                    h = grad_mean[chunk, c]
                    g_value[:, c].addcmul_(p, h)
                    g_logit.addcmul_(p, h * (value[:, c] - mean[chunk, c]))
                    g_ground.addcmul_(own, h)
                grad_ground[c] += g_ground.sum()
            grad_presence[:, chunk] = g_logit.sum((2, 3))
            if sharpness is not None:
                grad_sharpness += torch.dot(g_logit.flatten(), _channel_mean(value).flatten())
                for c in range(channels):
                    g_value[:, c].addcmul_(g_logit, sharpness / channels)
            if colour is not None and grad_colour is not None:
                torch.sum(g_value * colour_factors(colour[chunk]), 1, out=grad_drawn[:, 0, chunk])
                grad_colour[chunk] = g_value.mul_(drawn[:, :1, chunk]).sum((3, 4)).permute(2, 0, 1)
        return (
            None,
            grad_drawn,
            grad_colour,
            None if sharpness is None else grad_sharpness,
            grad_presence.T,
            grad_ground,
            -grad_presence.sum(),
        )


def _part_values(
    drawn: Tensor, colour: Tensor | None, sharpness: Tensor | None, chunk: slice
) -> Tensor:
    """Returns the parts' values (M, channels, batch, height, width) of a slice, without logits."""
    values = drawn if sharpness is not None else drawn[:, :-1]
    return values if colour is None else values * colour_factors(colour[chunk])


def colour_factors(colour: Tensor) -> Tensor:
    """Rearranges colours so that they can be multiplied with drawn parts.

    Args:
        colour: (batch, M, channels).

    Returns:
        (M, channels, batch, 1, 1).
    """
    return colour.permute(1, 2, 0)[..., None, None]


def _channel_mean(value: Tensor) -> Tensor:
    """Averages over channels: (M, channels, batch, height, width) to (M, batch, height, width)."""
    return value.squeeze(1) if value.shape[1] == 1 else value.mean(1)


def _add_log_density(logit: Tensor, x: Tensor, value: Tensor) -> Tensor:
    """Subtracts ½ Σ_c (x_c − value_c)² from `logit`, (M, batch, height, width), in place."""
    for c in range(x.shape[1]):
        apart = value[:, c] - x[:, c]
        logit.addcmul_(apart, apart, value=-0.5)
    return logit


def _image_slices(logits: Tensor) -> Iterator[slice]:
    """Yields slices of the batch, each of at most about `CHUNK_NUMBERS` numbers."""
    parts, batch, height, width = logits.shape
    step = max(1, CHUNK_NUMBERS // (parts * height * width))
    for start in range(0, batch, step):
        yield slice(start, start + step)
