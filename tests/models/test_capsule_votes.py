"""Tests the votes of object capsules, and the densities of what they vote for."""

from __future__ import annotations

import numpy as np
import scipy.stats
import torch

from models.layers.capsule_votes import CapsuleLayer, deviation, gaussian_log_density


def test_densities_are_scipys() -> None:
    x, mean = torch.randn(2, 6, 4).double()
    scale = torch.rand(4).double() + 0.1
    expected = scipy.stats.norm(mean.numpy(), scale.numpy()).logpdf(x.numpy()).sum(0)
    np.testing.assert_allclose(gaussian_log_density(x, mean, scale).numpy(), expected)


def layer(noise: float = 0.0) -> CapsuleLayer:
    return CapsuleLayer(capsules=4, votes=7, inputs=10, dims=5, hidden=6, noise=noise)


def test_static_poses_begin_apart() -> None:
    """Guards against static numbers of zero, which give all votes of a capsule the same pose."""
    votes = layer()(torch.zeros(1, 4, 10))
    places = votes.pose[:, :, 0].flatten(1).t()
    assert torch.cdist(places, places).fill_diagonal_(1).min() > 1e-3
    assert votes.dynamic < 0.1


def test_the_heads_last_layers_take_both_signs() -> None:
    """Guards against a ReLU after the last layers."""
    views = torch.randn(64, 4, 10)
    votes = layer()(views)
    assert votes.features.min() < 0 < votes.features.max()
    assert votes.capsule_logit.min() < 0 < votes.capsule_logit.max()


def test_noise_on_presences_is_left_off_in_evaluation() -> None:
    ours, views = layer(noise=2.0), torch.randn(3, 4, 10)
    first, second = (ours(views).log_presence for _ in range(2))
    assert not torch.equal(first, second)
    spread = ours(views).capsule_logit
    ours.eval()
    assert torch.equal(ours(views).log_presence, ours(views).log_presence)
    assert 0 < (spread - ours(views).capsule_logit).abs().max() <= 2


def test_scales_are_bounded_on_both_sides() -> None:
    """Guards against scales that approach 0, which end in NaN after some 200 epochs."""
    logits = torch.tensor([-1e6, -3.0, 0.0, 0.5, 1e6], requires_grad=True)
    scales = deviation(logits)
    assert scales.min() >= 0.01
    assert scales.max() < 10.6
    near = torch.nn.functional.softplus(torch.tensor([0.5, 1.0])) + 0.01
    torch.testing.assert_close(scales[2:4], near, atol=1e-3, rtol=0)
    scales.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
