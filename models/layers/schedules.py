"""Defines a schedule of the learning rate: a linear warm-up, then a cosine with restarts."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from models.variant import Hyperparameters


class ScheduleConfig(Hyperparameters):
    """Adds a warm-up and a cosine; without them the learning rate is that of the source."""

    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up of the learning rate")
    restart_steps: int = Field(
        0,
        ge=0,
        description="steps of a cosine to zero, after which the cosine restarts; 0: no cosine",
    )

    def without_cosine(self, step: int) -> float:
        """Returns the learning rate of the variant's source, used if `restart_steps` is 0.

        Args:
            step: number of the training step, from 0.

        Returns:
            The rate in units of `lr`: by default 1.
        """
        return 1.0

    def rate(self, step: int) -> float:
        """Returns the learning rate of a training step.

        Args:
            step: number of the training step, from 0.

        Returns:
            The rate in units of `lr`.
        """
        warmup = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if not self.restart_steps:
            return warmup * self.without_cosine(step)
        progress = step % self.restart_steps / self.restart_steps
        return warmup * (1 + math.cos(math.pi * progress)) / 2

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """Builds the schedule that sets an optimiser's learning rates before each step.

        Args:
            optimizer: the optimiser; its learning rates at this call are the unit of `rate`.

        Returns:
            The schedule, to be stepped once per training step.
        """
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
