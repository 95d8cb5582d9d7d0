"""Implements a convolutional autoencoder as most do: two stacks of modules, and the mean error."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Encodes and decodes images with the parameters of our variant.

    The decoder receives the size of each layer's output from the encoder, as `output_size`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.error = model.config.error
        self.convolutions = nn.ModuleList(_of(model.encoder, nn.Conv2d))
        self.norms = nn.ModuleList(_of(model.encoder, nn.BatchNorm2d))
        (self.squeeze,) = _of(model.encoder, nn.Linear)
        (self.expand,) = _of(model.expand, nn.Linear)
        self.back_norms = nn.ModuleList(_of(model.decoder, nn.BatchNorm2d))
        self.back = nn.ModuleList(_of(model.decoder, nn.ConvTranspose2d))

    def encode(self, x: Tensor) -> tuple[Tensor, list[torch.Size]]:
        """Returns the codes (batch, code_dims), and the sizes of the maps for `decode`."""
        sizes = [x.shape]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
            sizes.append(x.shape)
        return self.squeeze(x.flatten(1)), sizes

    def decode(self, code: Tensor, sizes: list[torch.Size]) -> Tensor:
        """Reconstructs images (batch, channels, height, width) from codes and sizes."""
        x = self.expand(code).view(sizes[-1])
        for norm, layer, size in zip(self.back_norms, self.back, sizes[-2::-1], strict=True):
            x = layer(F.relu(norm(x)), output_size=list(size[2:]))
        return torch.sigmoid(x)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructs images: (batch, channels, height, width) to the same shape."""
        return self.decode(*self.encode(x))

    def loss(self, batch: Any) -> Tensor:
        """Computes the mean squared error or cross-entropy of a batch's images."""
        reconstruction = self(batch.x)
        if self.error == "bce":
            return -(
                batch.x * reconstruction.log() + (1 - batch.x) * (1 - reconstruction).log()
            ).mean()
        return ((reconstruction - batch.x) ** 2).mean()


def _of(layers: Iterable[nn.Module], kind: type[nn.Module]) -> list[nn.Module]:
    """Copies the layers of one kind."""
    return [copy.deepcopy(layer) for layer in layers if isinstance(layer, kind)]


textbook = Autoencoder
