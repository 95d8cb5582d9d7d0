"""A convolutional autoencoder as most write it: two stacks of modules, and the mean error."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """With the parameters of ours; sizes on the way back by `output_size`, layer by layer."""

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
        sizes = [x.shape]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
            sizes.append(x.shape)
        return self.squeeze(x.flatten(1)), sizes

    def decode(self, code: Tensor, sizes: list[torch.Size]) -> Tensor:
        x = self.expand(code).view(sizes[-1])
        for norm, layer, size in zip(self.back_norms, self.back, sizes[-2::-1], strict=True):
            x = layer(F.relu(norm(x)), output_size=list(size[2:]))
        return torch.sigmoid(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(*self.encode(x))

    def loss(self, batch: Any) -> Tensor:
        made = self(batch.x)
        if self.error == "bce":
            return -(batch.x * made.log() + (1 - batch.x) * (1 - made).log()).mean()
        return ((made - batch.x) ** 2).mean()


def _of(layers: Iterable[nn.Module], kind: type[nn.Module]) -> list[nn.Module]:
    return [copy.deepcopy(layer) for layer in layers if isinstance(layer, kind)]


textbook = Autoencoder
