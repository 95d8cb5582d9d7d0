"""Implements squash, and routing by agreement with its exact gradient in one pass.

Sabour, Frosst, Hinton: Dynamic Routing Between Capsules, NeurIPS 2017 (arXiv 1710.09829).

models/textbook/equations.py has the same equations with loops over single capsules.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.layers.numerics import at_least_float32

Axis = Literal["outputs", "inputs"]
"""The capsules over which couplings sum to 1."""


def length(v: Tensor) -> Tensor:
    """Computes Euclidean norms over the last dimension; their gradient at 0 is 0.

    Args:
        v: (..., dims).

    Returns:
        (...), in float32 at least.
    """
    return torch.linalg.vector_norm(at_least_float32(v), dim=-1)


def squash(s: Tensor) -> Tensor:
    """Computes v = ‖s‖²/(1+‖s‖²) · s/‖s‖ over the last dimension (equation 1).

    The code computes s · ‖s‖/(1+‖s‖²). This form has no division by ‖s‖ and needs no epsilon,
    and has gradient 0 at 0.

    Args:
        s: (..., dims).

    Returns:
        (..., dims), in float32 at least.
    """
    return _Squash.apply(at_least_float32(s))


class _Squash(torch.autograd.Function):
    """Computes squash and its gradient, in five passes over the capsules (autograd: nine)."""

    @staticmethod
    def forward(ctx: Any, s: Tensor) -> Tensor:
        norm = length(s).unsqueeze(-1)
        ctx.save_for_backward(s, norm)
        return s * (norm / (1 + norm.square()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        s, norm = ctx.saved_tensors
        return squash_gradient(s, norm, grad)


def squash_gradient(s: Tensor, norm: Tensor, grad: Tensor) -> Tensor:
    """Computes the gradient of `squash`.

    It is f·(∂v + (1 − 2f‖s‖)·(u·∂v)·u), where f = ‖s‖/(1+‖s‖²) and u = s/‖s‖.

    Args:
        s: (..., dims), the input of `squash`.
        norm: (..., 1), the length of s.
        grad: (..., dims), the gradient with respect to squash(s).

    Returns:
        (..., dims), the gradient with respect to s; zero where s is zero.
    """
    scale = 1 / (1 + norm.square())
    factor = norm * scale
    along = (s * grad).sum(-1, keepdim=True) / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    return (grad * factor).addcmul_(s, (1 - 2 * norm * factor) * scale * along)


def route(
    votes: Tensor,
    *,
    iterations: int = 3,
    over: Axis = "outputs",
    bias: Tensor | None = None,
    none_of_the_above: bool = False,
) -> Tensor:
    """Routes votes by agreement (procedure 1), differentiably through all iterations.

    Args:
        votes: (batch, outputs, inputs, dims), the û_{j|i}.
        iterations: iterations of the procedure, at least 1.
        over: the capsules over which couplings sum to 1; the paper's are the outputs.
        bias: (outputs, dims), added to each s_j.
        none_of_the_above: whether the softmax has one more logit, which is always 0 and belongs to
            no capsule (section 7, CIFAR-10; leaky routing in the authors' code).

    Returns:
        (batch, outputs, dims), the v_j.
    """
    axis = {"outputs": 1, "inputs": 2}[over]
    return _Routing.apply(votes, bias, iterations, axis, int(none_of_the_above))


class _Routing(torch.autograd.Function):
    """Computes procedure 1, and its gradient with one tensor as large as the votes.

    Autograd would create 2r−1 such tensors in r iterations. The logits are sums of agreements, so
    b_t = û·V_t with V_t = v_1 + … + v_{t−1}. Iteration t contributes c_t ⊗ ∂s_t + ∂b_t ⊗ V_t to ∂û.
    Stacked over the iterations, these outer products are one batched matrix product with inner
    dimension 2r−1 (b_1 is constant).
    """

    @staticmethod
    def forward(
        ctx: Any, votes: Tensor, bias: Tensor | None, iterations: int, axis: int, zero_logits: int
    ) -> Tensor:
        batch, outputs, inputs, dims = votes.shape
        pairs = votes.reshape(batch * outputs, inputs, dims)
        coupling = votes.new_full((batch, outputs, inputs), 1 / (votes.shape[axis] + zero_logits))
        total = torch.zeros_like(at_least_float32(votes[:, :, 0]))
        steps: list[Tensor] = []
        for t in range(iterations):
            if t > 0:
                logits = torch.bmm(pairs, total.to(votes.dtype).view(-1, dims, 1))
                logits = at_least_float32(logits).view(batch, outputs, inputs)
                coupling = _softmax(logits, axis, zero_logits).to(votes.dtype)
            s = torch.bmm(coupling.reshape(-1, 1, inputs), pairs).view(batch, outputs, dims)
            s = at_least_float32(s)
            if bias is not None:
                s = s + bias
            v = squash(s)
            steps += [coupling, s, total]
            total = total + v
        ctx.axis, ctx.biased = axis, bias is not None
        ctx.save_for_backward(pairs, *steps)
        return v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        pairs, *steps = ctx.saved_tensors
        batch, outputs, dims = grad.shape
        left: list[Tensor] = []
        right: list[Tensor] = []
        grad_bias, grad_v, grad_total = None, grad, torch.zeros_like(grad)
        for t in reversed(range(len(steps) // 3)):
            coupling, s, total = steps[3 * t : 3 * t + 3]
            grad_s = squash_gradient(s, length(s).unsqueeze(-1), grad_v)
            left.append(coupling)
            right.append(grad_s)
            if ctx.biased:
                grad_bias = grad_s.sum(0) + (0 if grad_bias is None else grad_bias)
            if t > 0:
                column = grad_s.to(pairs.dtype).view(-1, dims, 1)
                grad_c = torch.bmm(pairs, column).view_as(coupling)
                grad_b = coupling * (grad_c - (coupling * grad_c).sum(ctx.axis, keepdim=True))
                left.append(grad_b)
                right.append(total)
                agreed = torch.bmm(grad_b.view(batch * outputs, 1, -1), pairs)
                grad_v = grad_total = grad_total + agreed.view_as(grad)
        columns = torch.stack(left, -1).flatten(0, 1)
        rows = torch.stack(right, 2).flatten(0, 1).to(pairs.dtype)
        grad_votes = torch.bmm(columns, rows).view(batch, outputs, -1, dims)
        return grad_votes, grad_bias, None, None, None


def _softmax(logits: Tensor, axis: int, zero_logits: int) -> Tensor:
    """Computes a softmax over an axis with additional zero logits, and drops their weights.

    The gradient is c·(∂c − Σ c ∂c) with or without zero logits, since nothing depends on the
    weights of these logits.
    """
    if not zero_logits:
        return logits.softmax(axis)
    zeros = torch.zeros_like(logits.narrow(axis, 0, zero_logits))
    return torch.cat([logits, zeros], axis).softmax(axis).narrow(axis, 0, logits.shape[axis])
