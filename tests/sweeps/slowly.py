"""Slows down a training to more than the minute of a Slurm job; workers import this before a
run.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.runs.journal import Journal

SECONDS = 110
"""Of all steps of a run. Slurm looks every 30 s which jobs have reached their limit."""

_on_train_batch_end = Journal.on_train_batch_end


def on_train_batch_end(self: Journal, trainer: Any, *rest: Any) -> None:
    time.sleep(SECONDS / (trainer.max_epochs * trainer.num_training_batches))
    _on_train_batch_end(self, trainer, *rest)


Journal.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign, assignment]
