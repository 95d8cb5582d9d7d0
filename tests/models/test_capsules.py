"""Tests squash, routing and margin loss against the paper's equations in float64."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from models.layers.capsule_network import margin_loss
from models.layers.capsules import length, route, squash
from models.textbook import equations


def test_squash_is_equation_1() -> None:
    s = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    expected = torch.stack([equations.squash(row) for row in s])
    torch.testing.assert_close(squash(s), expected)
    weight = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad((squash(s) * weight).sum(), s)
    torch.testing.assert_close(gradient, torch.autograd.grad((expected * weight).sum(), s)[0])


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, 1e12])
def test_squash_and_its_gradient_stay_finite(scale: float) -> None:
    s = (scale * torch.randn(4, 8)).requires_grad_()
    v = squash(s)
    length(v).sum().backward()
    assert (length(v) <= 1 + 1e-6).all()
    assert s.grad is not None
    assert s.grad.isfinite().all()


@pytest.mark.parametrize("over", ["outputs", "inputs"])
@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("biased", [False, True])
def test_routing_is_procedure_1(
    over: Literal["outputs", "inputs"], iterations: int, biased: bool
) -> None:
    votes = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, 5, dtype=torch.float64, requires_grad=True) if biased else None
    given = [votes] if bias is None else [votes, bias]
    expected = torch.stack([equations.routing(v, iterations, over, bias) for v in votes])
    routed = route(votes, iterations=iterations, over=over, bias=bias)
    torch.testing.assert_close(routed, expected)
    weight = torch.randn_like(expected)
    ours = torch.autograd.grad((routed * weight).sum(), given)
    theirs = torch.autograd.grad((expected * weight).sum(), given)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("iterations", [1, 3])
def test_none_of_the_above_takes_a_share_of_each_coupling(iterations: int) -> None:
    votes = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    expected = torch.stack([equations.routing(v, iterations, "outputs", None, True) for v in votes])
    routed = route(votes, iterations=iterations, none_of_the_above=True)
    torch.testing.assert_close(routed, expected)
    assert not torch.allclose(routed, route(votes, iterations=iterations))
    weight = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad((routed * weight).sum(), votes),
        torch.autograd.grad((expected * weight).sum(), votes),
    )


def test_the_axes_of_routing_differ() -> None:
    votes = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    outputs, inputs = (route(votes, over=over) for over in ("outputs", "inputs"))
    assert not torch.allclose(outputs, inputs)


@pytest.mark.parametrize("power", [1, 2])
def test_margin_loss_is_equation_4(power: Literal[1, 2]) -> None:
    lengths = torch.rand(5, 4, dtype=torch.float64, requires_grad=True)
    present = [{0}, {1, 3}, {2}, {0, 1}, {3}]
    target = torch.tensor([[int(k in chosen) for k in range(4)] for chosen in present])
    expected = torch.stack(
        [
            equations.margin_loss(row, chosen, squared=power == 2)
            for row, chosen in zip(lengths, present, strict=True)
        ]
    ).mean()
    loss = margin_loss(lengths, target, power=power)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, lengths), torch.autograd.grad(expected, lengths)
    )


def test_margin_loss_is_squared_as_published() -> None:
    lengths = torch.tensor([[0.4, 0.6]])
    assert margin_loss(lengths, torch.tensor([[1, 0]])).item() == pytest.approx(0.25 + 0.125)
