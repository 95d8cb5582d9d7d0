"""Imports TensorBoard's writer, which is an optional package."""

from __future__ import annotations

from typing import Any

from benchmarks.records.errors import InputError


def writer_class() -> Any:
    """Imports the class that writes TensorBoard's event files.

    Raises:
        InputError: if the package `tensorboard` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard needs the package tensorboard, which is not installed: call `pip "
            "install tensorboard`, or leave the option out"
        ) from None
    return SummaryWriter
