"""Implements RMSProp as TensorFlow 1 computes it.

Formulas and initial values are from TensorFlow's documentation of `ApplyRMSProp`, and from the
slots of `tf.train.RMSPropOptimizer`. In contrast, torch.optim.RMSprop starts its mean square at 0,
adds ε to the root, and multiplies the whole momentum by the learning rate of the current step.

As torch's own optimisers do, it computes all parameters at once by `torch._foreach_…`, which have
no public names; tests/models/test_rmsprop.py compares the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class RMSProp(torch.optim.Optimizer):
    """Divides gradients by the root of their mean square, and accumulates them as momentum.

    For each parameter, with its gradient g:

        mean square ← decay · mean square + (1 − decay) · g², from 1
        momentum ← momentum factor · momentum + lr · g / √(mean square + ε), from 0
        parameter ← parameter − momentum

    Since the mean square starts at 1, the first step is 1/√(1 + 9/g²) of torch's at decay 0.9:
    about a third where g is 1, and less where g is smaller. The learning rate is part of the
    momentum: a schedule changes new steps, but not the steps that the momentum already holds.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        """Builds the optimiser over parameters or parameter groups.

        Args:
            params: parameters, or groups as in every optimiser of torch.
            lr: learning rate.
            decay: fraction of the old mean square that a step keeps, in [0, 1).
            momentum: fraction of the old momentum that a step keeps, in [0, 1).
            epsilon: number added to the mean square, inside the root.
            weight_decay: factor of each parameter that is added to its gradient.
        """
        defaults = {
            "lr": lr,
            "decay": decay,
            "momentum": momentum,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates all parameters that have a gradient.

        Args:
            closure: computes the loss and its gradients again, if given.

        Returns:
            What `closure` returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        """Updates the parameters of one group that have a gradient."""
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        grads = [p.grad for p in params if p.grad is not None]
        if group["weight_decay"]:
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
        squares, momenta = self._averages(params)
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, grads, grads, value=1 - group["decay"])
        root = torch._foreach_add(squares, group["epsilon"])
        torch._foreach_sqrt_(root)
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_addcdiv_(momenta, grads, root, value=group["lr"])
        torch._foreach_sub_(params, momenta)

    def _averages(self, params: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Returns mean squares and momenta; creates them before a parameter's first step."""
        for p in params:
            if not self.state[p]:
                self.state[p] = {
                    "mean_square": torch.ones_like(p),
                    "momentum": torch.zeros_like(p),
                }
        states = [self.state[p] for p in params]
        return [s["mean_square"] for s in states], [s["momentum"] for s in states]
