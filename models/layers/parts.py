"""What a part autoencoder finds in an image, and an object autoencoder explains."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Parts(NamedTuple):
    """The parts of a batch of images (Kosiorek et al. 2019, section 2.2), M of them an image."""

    pose: Tensor
    """(batch, M, 6): affine maps [[a, b, c], [d, e, f]] from a template's frame to the image's."""
    presence: Tensor
    """(batch, M): probabilities that a part is there."""
    features: Tensor
    """(batch, M, F): what else is known of a part; F may be 0."""
