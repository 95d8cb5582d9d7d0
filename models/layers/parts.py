"""Defines the parts that a part autoencoder finds in images, and an object autoencoder explains."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Parts(NamedTuple):
    """Holds the M parts of each image of a batch (Kosiorek et al. 2019, section 2.2)."""

    pose: Tensor
    """(batch, M, 6): affine maps [[a, b, c], [d, e, f]] from template to image coordinates."""
    presence: Tensor
    """(batch, M): probabilities that a part is present."""
    features: Tensor
    """(batch, M, F): further features of a part; F may be 0."""
