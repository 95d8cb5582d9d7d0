"""Defines how many frames a prediction variant sees and predicts."""

from __future__ import annotations

from typing import NamedTuple

from models.variant import ClipShape, Hyperparameters, PredictionHyperparameters


class Frames(NamedTuple):
    """Says how many frames a prediction variant sees and predicts, and their size."""

    past: int = 10
    """Number of frames that the variant sees."""
    future: int = 10
    """Number of frames that the variant predicts."""
    size: int = 64
    """Height and width in pixels; larger frames are reduced by averaging areas."""

    @classmethod
    def of(cls, config: Hyperparameters) -> Frames | None:
        """Reads the number and size of frames from hyper-parameters.

        Args:
            config: the hyper-parameters of a variant.

        Returns:
            The frames; None if the variant is not one of prediction.
        """
        if isinstance(config, PredictionHyperparameters):
            return cls(config.past, config.future, config.size)
        return None

    def shape(self, channels: int) -> ClipShape:
        """Returns the shape of a sequence.

        Args:
            channels: number of channels of a frame.
        """
        return ClipShape(channels, self.size, self.size, self.past, self.future)
