"""The notebook's departures from the paper."""

from __future__ import annotations

from torch import Tensor

from models.textbook.capsnet import CapsNet


class NotebookCapsNet(CapsNet):
    over = "inputs"
    squared = False
    masked_by_truth = False

    def reduce(self, error: Tensor) -> Tensor:
        return error.mean()


textbook = NotebookCapsNet
