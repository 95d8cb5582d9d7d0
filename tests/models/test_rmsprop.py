"""Tests RMSProp against TensorFlow's equations, torch's version, and a restart."""

from __future__ import annotations

import io
import math
from functools import partial

import pytest
import torch
from torch import Tensor

from models.layers.recipes import RecipeConfig, recipe
from models.layers.rmsprop import RMSProp


def test_steps_are_tensorflows_equations_in_plain_numbers() -> None:
    """Varies the learning rate, with a large ε and weight decay."""
    decay, momentum, epsilon, penalty = 0.9, 0.8, 0.25, 0.1
    start, gradients, rates = [0.5, -2.0, 3.0], [[0.2, -1.0, 0.0], [3.0, 0.5, 0.0]], [0.1, 0.01]
    p = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = RMSProp(
        [p], lr=0.0, decay=decay, momentum=momentum, epsilon=epsilon, weight_decay=penalty
    )
    expected, squares, momenta = list(start), [1.0] * 3, [0.0] * 3
    for gradient, rate in zip(gradients * 2, rates * 2, strict=True):
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        for i in range(3):
            g = gradient[i] + penalty * expected[i]
            squares[i] = decay * squares[i] + (1 - decay) * g * g
            momenta[i] = momentum * momenta[i] + rate * g / math.sqrt(squares[i] + epsilon)
            expected[i] -= momenta[i]
        assert p.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_first_step_is_about_a_third_of_torchs() -> None:
    """Compares the first step for g = 1: the ratio is √0.1 = 0.316.

    After this step the mean square is 0.9 + 0.1·g², while torch's is 0.1·g².
    """
    moved = []
    for kind in (RMSProp, partial(torch.optim.RMSprop, alpha=0.9)):
        p = torch.zeros(1, requires_grad=True)
        optimizer = kind([p], lr=0.01)
        p.grad = torch.ones(1)
        optimizer.step()
        moved.append(p.item())
    assert moved[0] / moved[1] == pytest.approx(math.sqrt(0.1), rel=1e-4)


def trained(optimizer: torch.optim.Optimizer, params: list[Tensor], steps: range) -> None:
    for step in steps:
        for k, p in enumerate(params):
            p.grad = torch.full_like(p, math.sin(step + k))
        optimizer.step()


def test_training_resumes_from_a_saved_state_as_if_never_interrupted() -> None:
    """Stores the state in a file of tensors and plain values only, as checkpoints do."""

    def fresh() -> tuple[list[Tensor], RMSProp]:
        params = [torch.ones(3, 2, requires_grad=True), torch.zeros(4, requires_grad=True)]
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.5}]
        return params, RMSProp(groups, lr=0.1, momentum=0.9)

    whole, optimizer = fresh()
    trained(optimizer, whole, range(6))
    params, optimizer = fresh()
    trained(optimizer, params, range(3))
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "params": params}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, optimizer = fresh()
    optimizer.load_state_dict(saved["optimizer"])
    with torch.no_grad():
        for p, old in zip(resumed, saved["params"], strict=True):
            p.copy_(old)
    trained(optimizer, resumed, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_parameters_without_a_gradient_stay() -> None:
    p, still = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    p.grad = torch.ones(2)
    RMSProp([{"params": [p, still]}, {"params": [torch.ones(1)]}], lr=0.1).step()
    assert (p != 1).all()
    assert (still == 1).all()


def test_the_recipes_rmsprop_has_the_authors_numbers() -> None:
    """Checks decay 0.9, momentum 0.9, and ε = (1/(10·batch))², added to the mean square."""
    config = RecipeConfig(optimizer="rmsprop", batch_size=8, weight_decay=0.2)
    optimizer = recipe([{"params": [torch.ones(1)]}], config).optimizer
    assert isinstance(optimizer, RMSProp)
    (group,) = optimizer.param_groups
    assert (group["decay"], group["momentum"], group["weight_decay"]) == (0.9, 0.9, 0.2)
    assert group["epsilon"] == pytest.approx((1 / 80) ** 2)
