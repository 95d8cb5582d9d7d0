"""Builds optimisers and learning-rate schedules from hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from models.layers.rmsprop import RMSProp
from models.variant import Hyperparameters, Optimization


class RecipeConfig(Hyperparameters):
    """Holds an optimiser and its schedule; defaults of users of part autoencoders."""

    lr: float = Field(3e-3, gt=0, description="learning rate")
    optimizer: Literal["sgd", "radam", "rmsprop"] = Field("radam", description="optimiser")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD and RMSProp")
    weight_decay: float = Field(
        0.0, ge=0, description="weight of the l2 penalty, which is added to the gradient"
    )
    scheduler: Literal["constant", "exp", "cosrestarts"] = Field(
        "exp", description="learning rate: constant, exponential decay, cosine with restarts"
    )
    lr_decay: float = Field(
        0.998, gt=0, le=1, description="exp: factor of the learning rate per decay period"
    )
    lr_decay_steps: int = Field(
        469,
        ge=1,
        description="exp: steps per decay period; 469 are an epoch of MNIST in batches of 128",
    )
    restart_steps: int = Field(4000, ge=1, description="cosrestarts: steps between restarts")
    clip_norm: float = Field(
        1e4,
        gt=0,
        description="norm that gradients are clipped to; the default only stops explosions",
    )


def adamw(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Builds AdamW over all parameters of a model.

    Args:
        model: the model.
        lr: learning rate.
        weight_decay: decoupled weight decay: a step subtracts lr · weight_decay times each
            parameter.

    Returns:
        The optimiser.
    """
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)


def recipe(groups: Iterable[dict[str, Any]], config: RecipeConfig) -> Optimization:
    """Builds the optimiser over parameter groups, and its learning-rate schedule.

    The schedule is stepped after each training step. RMSProp has the authors' numbers: decay 0.9, ε
    = (1/(10·batch_size))².

    Args:
        groups: parameter groups, as torch's optimisers take them.
        config: optimiser, schedule and their numbers.

    Returns:
        The optimiser, its schedule, and the norm that gradients are clipped to.
    """
    lr, momentum, decay = config.lr, config.momentum, config.weight_decay
    optimizer: torch.optim.Optimizer
    match config.optimizer:
        case "sgd":
            optimizer = torch.optim.SGD(
                groups, lr=lr, momentum=momentum, weight_decay=decay, fused=True
            )
        case "radam":
            optimizer = torch.optim.RAdam(groups, lr=lr, weight_decay=decay, foreach=True)
        case "rmsprop":
            optimizer = RMSProp(
                groups,
                lr=lr,
                decay=0.9,
                momentum=momentum,
                epsilon=(1 / (10 * config.batch_size)) ** 2,
                weight_decay=decay,
            )
    schedules = torch.optim.lr_scheduler
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    if config.scheduler == "exp":
        rate = config.lr_decay ** (1 / config.lr_decay_steps)
        scheduler = schedules.ExponentialLR(optimizer, rate)
    elif config.scheduler == "cosrestarts":
        scheduler = schedules.CosineAnnealingWarmRestarts(optimizer, config.restart_steps)
    return Optimization(optimizer, scheduler, clip_norm=config.clip_norm)
