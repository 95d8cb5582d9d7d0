"""Estimates the speed of a training and the time that is left, from what this process has done."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Measures training steps and validations.

    The first step is left out of the mean, because it is slower than the others.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._steps: list[float] = [0.0, 0.0]
        self._validations: list[float] = [0.0, 0.0]
        self._first = True

    def begin(self) -> None:
        """Marks the beginning of the next training step or validation."""
        self._began = self._clock()

    def step(self) -> None:
        """Marks the end of a training step, and the beginning of the next one."""
        now = self._clock()
        if not self._first:
            self._steps[0] += now - self._began
            self._steps[1] += 1
        self._first, self._began = False, now

    def validated(self) -> None:
        """Marks the end of a validation."""
        self._validations[0] += self._clock() - self._began
        self._validations[1] += 1

    @property
    def steps_per_second(self) -> float | None:
        """Returns the mean number of training steps per second; None before the second step."""
        seconds, steps = self._steps
        return steps / seconds if seconds else None

    def left(self, steps: int, validations: int) -> float | None:
        """Estimates the time that is left.

        Args:
            steps: number of training steps that are left.
            validations: number of validations that are left; without a measured one, they are not
                counted.

        Returns:
            Seconds; None before the second step.
        """
        rate = self.steps_per_second
        if rate is None:
            return None
        seconds, done = self._validations
        return steps / rate + (validations * seconds / done if done else 0.0)
