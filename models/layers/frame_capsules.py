"""Computes the capsules of a frame: one set per position, and object capsules of the whole frame.

Capsules: Sabour, Frosst, Hinton 2017 (arXiv 1710.09829).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.capsules import length, route, squash
from models.layers.em_routing import EMRouting
from models.layers.images import channels_last


class FrameCapsules(nn.Module):
    """Computes a frame's capsules by a 3×3 convolution of stride 2, and squashes them.

    The channels at a position are the capsules of this position. The padding of a single row and
    column of zeros is above and on the left (in the JAX code: below and on the right).
    """

    def __init__(self, channels: int, *, capsules: int, dims: int) -> None:
        super().__init__()
        self.shape = (capsules, dims)
        self.features = nn.Conv2d(channels, math.prod(self.shape), 3, stride=2, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """Computes the capsules.

        Args:
            frames: (frames, channels, height, width).

        Returns:
            (frames, height/2 · width/2, capsules, dims).
        """
        maps = self.features(channels_last(frames))
        return squash(maps.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, self.shape))


class ObjectCapsules(nn.Module):
    """Routes the capsules of all positions of a frame to the frame's object capsules.

    A capsule's vote is the product of its pose and its type's matrix, which is the same at all
    positions. The position, from −1 to 1, is added to the first two numbers of the vote (coordinate
    addition: Hinton, Sabour, Frosst, Matrix capsules with EM routing, ICLR 2018, section 4).
    """

    coordinates: Tensor

    def __init__(
        self,
        *,
        size: tuple[int, int],
        capsules: int,
        dims: int,
        objects: int,
        object_dims: int,
        iterations: int,
        em: bool = False,
    ) -> None:
        """Draws the matrices of the capsule types.

        Args:
            size: rows and columns of the positions.
            capsules: capsules at each position; each is of a type of its own.
            dims: dimensions of these capsules.
            objects: number of object capsules.
            object_dims: their dimensions, at least 2.
            iterations: iterations of the routing.
            em: whether EM routing replaces routing by agreement; the presence of a capsule is its
                length.
        """
        super().__init__()
        self.iterations = iterations
        self.em = EMRouting(objects, iterations=iterations) if em else None
        self.shape = (objects, object_dims)
        # Deviation as in CapsNet's votes: capsules are short and couplings even at first.
        self.weight = nn.Parameter(0.1 * torch.randn(capsules, dims, math.prod(self.shape)))
        rows, columns = ((2 * torch.arange(n) + 1) / n - 1 for n in size)
        places = torch.cartesian_prod(rows, columns)
        self.register_buffer("coordinates", F.pad(places, (0, object_dims - 2)), persistent=False)

    def forward(self, capsules: Tensor) -> Tensor:
        """Routes the capsules.

        Args:
            capsules: (frames, positions, capsules, dims).

        Returns:
            (frames, objects, object_dims).
        """
        frames, positions, types, _ = capsules.shape
        by_type = capsules.permute(2, 0, 1, 3).flatten(1, 2)
        votes = torch.bmm(by_type, self.weight.to(by_type.dtype))
        votes = votes.view(types, frames, positions, *self.shape)
        votes = votes + self.coordinates.to(votes.dtype)[:, None]
        votes = votes.permute(1, 3, 2, 0, 4).reshape(frames, self.shape[0], -1, self.shape[1])
        if self.em is not None:
            return self.em(votes, length(capsules).flatten(1))
        return route(votes, iterations=self.iterations)
