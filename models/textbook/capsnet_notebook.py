"""Implements CapsNet of a well-known notebook, which departs from the paper."""

from __future__ import annotations

from torch import Tensor

from models.textbook.capsnet import CapsNet


class NotebookCapsNet(CapsNet):
    """Overrides the paper's routing axis, squared margins, decoder mask and reduction."""

    over = "inputs"
    squared = False
    masked_by_truth = False

    def reduce(self, error: Tensor) -> Tensor:
        """Reduces squared errors (batch, numbers) by their mean."""
        return error.mean()


textbook = NotebookCapsNet
