"""Raises the learning rate of classifiers in the first steps, then lowers it along a cosine."""

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
        """Returns the learning rate of the variant's source, used if there is no cosine.

        Args:
            step: number of the training step, from 0.

        Returns:
            The rate, in units of `lr`; by default 1.
        """
        return 1.0

    def rate(self, step: int) -> float:
        """Returns the learning rate of a training step.

        Args:
            step: number of the training step, from 0.

        Returns:
            The rate, in units of `lr`.
        """
        risen = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if not self.restart_steps:
            return risen * self.without_cosine(step)
        fallen = step % self.restart_steps / self.restart_steps
        return risen * (1 + math.cos(math.pi * fallen)) / 2

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """Builds the schedule that sets an optimiser's learning rates before each step.

        Args:
            optimizer: its learning rates at this call are the unit of `rate`.

        Returns:
            The schedule, to be stepped once per training step.
        """
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
