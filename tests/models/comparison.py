"""A variant beside its textbook version: same loss, and the same steps from the same gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.variant import Variant


def total_loss(model: Variant, batch: Any) -> Tensor:
    """The weighted sum that a task minimises."""
    terms, _ = model.loss(batch)
    weights = model.loss_weights
    return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()


def gradients(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, parameters))
