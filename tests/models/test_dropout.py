"""Tests dropout by 16-bit draws."""

from __future__ import annotations

import pytest
import torch

from models.layers.dropout import dropout


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_the_share_the_scale_and_the_gradient(p: float) -> None:
    torch.manual_seed(0)
    x = torch.rand(401, 251, requires_grad=True) + 1
    y = dropout(x, p)
    kept = y != 0
    count = x.numel()
    assert kept.sum().item() / count == pytest.approx(1 - p, abs=4 * (p * (1 - p) / count) ** 0.5)
    torch.testing.assert_close(y[kept], x[kept] / (1 - p), rtol=2e-4, atol=0)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, kept / (1 - p), rtol=2e-4, atol=0)


def test_numbers_fall_by_themselves() -> None:
    """Checks that neighbours, which share a 64-bit draw, are dropped independently."""
    torch.manual_seed(0)
    fallen = (dropout(torch.ones(100_000, 4), 0.5) == 0).double()
    correlation = torch.corrcoef(fallen.T) - torch.eye(4)
    assert correlation.abs().max() < 0.015


def test_nothing_is_drawn_for_nothing() -> None:
    x = torch.rand(3)
    state = torch.get_rng_state()
    assert dropout(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_the_type_stays() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        assert dropout(torch.ones(5, dtype=dtype), 0.5).dtype == dtype
