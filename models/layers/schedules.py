"""A schedule that classifiers share: the learning rate rises, then falls along a cosine."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from models.variant import Hyperparameters


class ScheduleConfig(Hyperparameters):
    """Adds a warm-up and a cosine; without them the learning rate is constant."""

    warmup_steps: int = Field(0, ge=0, description="steps in which the learning rate rises")
    restart_steps: int = Field(
        0, ge=0, description="steps of a cosine to zero, then again from the start; 0: no cosine"
    )

    def without_cosine(self, step: int) -> float:
        """Returns the rate that a variant's source has at a step, in units of `lr`."""
        return 1.0

    def rate(self, step: int) -> float:
        """Returns the learning rate of the step-th training step, from 0, in units of `lr`."""
        risen = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if not self.restart_steps:
            return risen * self.without_cosine(step)
        fallen = step % self.restart_steps / self.restart_steps
        return risen * (1 + math.cos(math.pi * fallen)) / 2

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """Returns what sets the optimiser's rates to `rate` times their first value, by steps."""
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
