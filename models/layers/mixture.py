"""The likelihood of an image whose every pixel one part, or the background, has drawn.

Kosiorek et al. 2019, section 2.2: a Gaussian mixture at each pixel, over transformed templates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NUMBERS = 2**18
"""Numbers a tensor at a time: what is computed of them then stays in cache."""


class PixelMixture(NamedTuple):
    """What a mixture says of a batch of images."""

    log_likelihood: Tensor
    """(batch,) nats, summed over pixels and channels."""
    mean: Tensor
    """(batch, channels, height, width): Σ mixing weight · value."""
    mixing: Tensor
    """(M, batch, height, width): mixing weights of the parts; the background has the rest."""
    responsibility: Tensor
    """(M, batch, height, width): the same given the image."""


def pixel_mixture(
    image: Tensor,
    values: Tensor,
    logits: Tensor,
    log_presence: Tensor,
    background: Tensor,
    background_logit: Tensor,
) -> PixelMixture:
    """At each pixel, Σ_m softmax_m(logit_m + log presence_m) N(image; value_m, 1), and background.

    image: (batch, channels, height, width); values: (M, channels, batch, height, width); logits:
    (M, batch, height, width); log_presence: (batch, M), the background's being 0; background:
    (channels,); background_logit: scalar. A component draws all channels of a pixel.

    Values, background and image lie in [0, 1], so that a density is at least exp(-channels/2) times
    the largest: the sums below need one maximum, over the logits, and no logarithm meets zero.
    Gradients flow through log likelihood and mean; mixing and responsibility are constants.
    """
    return PixelMixture(
        *_Mixture.apply(image, values, logits, log_presence, background, background_logit)
    )


class _Mixture(torch.autograd.Function):
    """∂ log p/∂ logit_m = responsibility − mixing, ∂ log p/∂ value_m = responsibility · (x − value):
    two tensors of all parts and pixels are kept, where autograd keeps a dozen.
    """

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        values: Tensor,
        logits: Tensor,
        log_presence: Tensor,
        background: Tensor,
        background_logit: Tensor,
    ) -> tuple[Tensor, ...]:
        mixing, responsibility = torch.empty_like(logits), torch.empty_like(logits)
        log_likelihood = image.new_empty(len(image))
        mean = torch.empty_like(image)
        ground = background[:, None, None]
        for some in _some(logits):
            x, value = image[some], values[:, :, some]
            logit = logits[:, some] + log_presence[some].T[:, :, None, None]
            top = torch.maximum(logit.amax(0), background_logit)
            weight = torch.exp(logit.sub_(top), out=mixing[:, some])
            rest = (background_logit - top).exp()
            exponent = _half_square(value.unbind(1), x.unbind(1))
            density = torch.mul(exponent.neg_().exp_(), weight, out=responsibility[:, some])
            ground_density = rest * (-(x - ground).square().sum(1) / 2).exp()
            total, evidence = weight.sum(0).add_(rest), density.sum(0).add_(ground_density)
            log_likelihood[some] = (evidence / total).log().flatten(1).sum(1)
            weight.div_(total)
            density.div_(evidence)
            for c in range(x.shape[1]):
                torch.addcmul(
                    (weight * value[:, c]).sum(0), rest / total, background[c], out=mean[some, c]
                )
        log_likelihood -= image[0].numel() * math.log(2 * math.pi) / 2
        ctx.save_for_backward(image, values, mean, mixing, responsibility, background)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mixing, responsibility)
        return log_likelihood, mean, mixing, responsibility

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor | None, grad_mean: Tensor | None, *_: None
    ) -> tuple[Tensor | None, ...]:
        image, values, mean, mixing, responsibility, background = ctx.saved_tensors
        grad_values, grad_logits = torch.empty_like(values), torch.empty_like(mixing)
        grad_ground = torch.zeros_like(background)
        ground = background[:, None, None]
        grad_rest = mixing.new_zeros(())
        for some in _some(mixing):
            p, r = mixing[:, some], responsibility[:, some]
            value, x, g_logit = values[:, :, some], image[some], grad_logits[:, some]
            rest = 1 - p.sum(0)
            if grad is None:
                g_logit.zero_()
                scaled = torch.zeros_like(r)
                own = torch.zeros_like(rest)
            else:
                g = grad[some][:, None, None]
                scaled = r * g
                torch.addcmul(scaled, p, g, value=-1, out=g_logit)
                own = g * (1 - r.sum(0))
            for c in range(x.shape[1]):
                torch.sub(x[:, c], value[:, c], out=grad_values[:, c, some]).mul_(scaled)
            grad_ground += (own[:, None] * (x - ground)).sum((0, 2, 3))
            if grad_mean is not None:
                h = grad_mean[some]
                for c in range(x.shape[1]):
                    grad_values[:, c, some].addcmul_(p, h[:, c])
                    g_logit.addcmul_(p, h[:, c] * (value[:, c] - mean[some, c]))
                grad_ground += (rest[:, None] * h).sum((0, 2, 3))
            grad_rest -= g_logit.sum()
        return (
            None,
            grad_values,
            grad_logits,
            grad_logits.sum((2, 3)).T,
            grad_ground,
            grad_rest,
        )


def _half_square(values: tuple[Tensor, ...], x: tuple[Tensor, ...]) -> Tensor:
    """½ Σ_c (x_c − value_c)²: (M, batch, height, width)."""
    total: Tensor | None = None
    for value, pixel in zip(values, x, strict=True):
        apart = value - pixel
        total = apart.square_() if total is None else total.addcmul_(apart, apart)
    assert total is not None
    return total.mul_(0.5)


def _some(logits: Tensor) -> Iterator[slice]:
    """Images a few at a time."""
    parts, batch, height, width = logits.shape
    step = max(1, NUMBERS // (parts * height * width))
    for start in range(0, batch, step):
        yield slice(start, start + step)
