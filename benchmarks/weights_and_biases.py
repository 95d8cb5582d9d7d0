"""Imports Weights & Biases without the temporary folders that its import leaves behind."""

from __future__ import annotations

import sys
import tempfile
from types import ModuleType


def import_wandb() -> ModuleType:
    """Imports wandb, and removes the two temporary folders that its import makes.

    wandb 0.31 removes them when the interpreter ends, but not in a process that a signal ends. They
    are for media and artifacts that are made in memory, and runs make none.
    """
    if "wandb" not in sys.modules:
        before = tempfile.tempdir
        with tempfile.TemporaryDirectory() as scratch:
            tempfile.tempdir = scratch
            try:
                import wandb  # noqa: F401
            finally:
                tempfile.tempdir = before
    return sys.modules["wandb"]
