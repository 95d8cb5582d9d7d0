"""Convolutional LSTM, sequence to sequence.

Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
NeurIPS 2015 (arXiv 1506.04214).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.brightness import BrightnessConfig, begin_with_brightness
from models.layers.numerics import at_least_float32
from models.layers.patches import fold, unfold
from models.registry import register
from models.variant import Clips, ClipShape, Optimization, SourceBudget, Variant

State = tuple[Tensor, Tensor]


class ConvLSTMConfig(BrightnessConfig):
    """Sizes and recipe; two cells encode and two decode."""

    batch_size: int = Field(12, ge=1, description="samples in a training step")
    hidden_channels: int = Field(64, ge=1, description="channels of each cell's state")
    peephole: bool = Field(False, description="gates see the cell state (the paper's W_c∘C terms)")
    patch_size: int = Field(1, ge=1, description="side of the patches folded into channels")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the gradient's mean")
    beta2: float = Field(0.98, ge=0, lt=1, description="Adam's decay of its square's mean")


class ConvLSTMCell(nn.Module):
    """Equation 3 of the paper, the gates i, f, o, g from one 3×3 convolution over [x, h].

    c' = f∘c + i∘g and h' = o∘tanh(c'). With `peephole`, W_ci∘c, W_cf∘c and W_co∘c' are added to
    the gates i, f and o; these weights have the state's size and begin at zero.
    """

    def __init__(
        self, inputs: int, hidden: int, *, size: tuple[int, int], peephole: bool = False
    ) -> None:
        super().__init__()
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, 3, padding=1)
        self.peephole = nn.Parameter(torch.zeros(3, hidden, *size)) if peephole else None

    def forward(self, x: Tensor, state: State | None) -> State:
        """x: (batch, inputs, height, width); state: (h, c), each (batch, hidden, height, width),
        or None for zeros, whose share of the convolution is then left out. Returns the next state.
        """
        if state is None:
            gates = F.conv2d(x, self.gates.weight[:, : x.shape[1]], self.gates.bias, padding=1)
        else:
            gates = self.gates(torch.cat([x, state[0]], dim=1))
        i, f, o, g = gates.chunk(4, dim=1)
        if self.peephole is not None and state is not None:
            i = i + self.peephole[0] * state[1]
            f = f + self.peephole[1] * state[1]
        c = at_least_float32(i.sigmoid() * g.tanh())
        if state is not None:
            c = torch.addcmul(c, f.sigmoid(), state[1])
        if self.peephole is not None:
            o = o + self.peephole[2] * c
        return (o.sigmoid() * c.tanh()).to(gates.dtype), c


class ConvLSTMStack(nn.Module):
    """Two cells, the second reading the first's output."""

    def __init__(self, inputs: int, config: ConvLSTMConfig, size: tuple[int, int]) -> None:
        super().__init__()
        hidden = config.hidden_channels
        self.cells = nn.ModuleList(
            ConvLSTMCell(channels, hidden, size=size, peephole=config.peephole)
            for channels in (inputs, hidden)
        )

    def forward(self, x: Tensor, states: Iterable[State | None]) -> tuple[Tensor, list[State]]:
        """x: (batch, inputs, height, width). Returns the top cell's output and all next states."""
        following = []
        for cell, state in zip(self.cells, states, strict=True):
            following.append(cell(x, state))
            x = following[-1][0]
        return x, following


@register("convlstm", task="prediction")
class ConvLSTM(Variant):
    """Convolutional LSTM, sequence to sequence (Shi et al. 2015).

    Two cells read the past frames. Two more, from zero states, are fed the readers' last top output
    and then their own; a 1×3×3 convolution over each of their outputs and a sigmoid give frames in
    [0, 1]. With `patch_size` p, p×p pixels are folded into channels first and unfolded at the end;
    both sides must be multiples of p. Nothing is resized. Default size: 1,036,097 parameters.

    Untrained frames are grey (0.5), as those of any network that ends in a sigmoid. With
    `initial_brightness` 0.05, our choice in sweeps, they start near the background instead.
    """

    Config = ConvLSTMConfig
    config: ConvLSTMConfig
    published_budgets: ClassVar = {
        "moving_mnist": SourceBudget(
            "the guide: batches of 12, 10 frames to 10", train_samples=10_000, epochs=300
        )
    }

    def __init__(self, *, shape: ClipShape, config: ConvLSTMConfig) -> None:
        super().__init__(shape=shape, config=config)
        patch, hidden = config.patch_size, config.hidden_channels
        if shape.height % patch or shape.width % patch:
            raise ValueError(
                f"frames of {shape.height}×{shape.width} pixels cannot be cut into patches "
                f"of {patch}×{patch}"
            )
        self.future = shape.future
        channels = shape.channels * patch**2
        size = (shape.height // patch, shape.width // patch)
        self.encoder = ConvLSTMStack(channels, config, size)
        self.decoder = ConvLSTMStack(hidden, config, size)
        self.head = nn.Conv2d(hidden, channels, 3, padding=1)
        begin_with_brightness(self.head, config.initial_brightness, activation="sigmoid")

    def forward(self, past: Tensor) -> Tensor:
        """past: (batch, past, channels, height, width) to (batch, future, channels, ...)."""
        states: Iterable[State | None] = (None, None)
        for frame in fold(past, self.config.patch_size).unbind(1):
            top, states = self.encoder(frame.contiguous(memory_format=torch.channels_last), states)
        states = (None, None)
        tops = []
        for _ in range(self.future):
            top, states = self.decoder(top, states)
            tops.append(top)
        frames = self.head(torch.cat(tops)).unflatten(0, (self.future, len(past))).transpose(0, 1)
        return unfold(at_least_float32(frames).sigmoid(), self.config.patch_size)

    def loss(self, batch: Clips) -> tuple[dict[str, Tensor], Tensor]:
        """`mse`: squared error, mean over pixels, frames and sequences."""
        frames = self(batch.past)
        return {"mse": F.mse_loss(frames, batch.future)}, frames

    def optimization(self) -> Optimization:
        config = self.config
        betas = (config.beta1, config.beta2)
        return Optimization(
            torch.optim.Adam(self.parameters(), lr=config.lr, betas=betas, fused=True)
        )
