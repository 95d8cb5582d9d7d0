"""Implements the convolutional LSTM, sequence to sequence.

Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
NeurIPS 2015 (arXiv 1506.04214).

The textbook version is models/textbook/convlstm.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.brightness import BrightnessConfig, set_initial_brightness
from models.layers.images import check_patches, fold, unfold
from models.layers.minimal_filters import Winograd
from models.layers.numerics import tanh, without_autocast
from models.layers.slices import mean_over_slices
from models.registry import register
from models.variant import Clips, ClipShape, Optimization, SourceBudget, Variant, later_field

State = tuple[Tensor, Tensor]
SLICE = 4096
"""State positions per slice of a batch on a CPU; products of larger slices leave the caches."""


class ConvLSTMConfig(BrightnessConfig):
    """Holds sizes and recipe; two cells encode and two cells decode."""

    batch_size: int = Field(12, ge=1, description="samples per training step")
    hidden_channels: int = Field(64, ge=1, description="channels of each cell's state")
    peephole: bool = Field(
        False, description="whether gates read the cell state (the paper's W_c∘C terms)"
    )
    patch_size: int = Field(1, ge=1, description="side of the patches folded into channels")
    all_at_once: bool = later_field(
        False,
        description="whether one convolution of the encoder's last output gives all future frames, "
        "without decoder cells",
    )
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the gradient's mean")
    beta2: float = Field(
        0.98, ge=0, lt=1, description="Adam's decay of the squared gradient's mean"
    )


class ConvLSTMCell(nn.Module):
    """Holds the weights of a convolutional LSTM cell (equation 3).

    The gates i, f, o and g are computed by one 3×3 convolution over [x, h]. Then c' = f∘c + i∘g and
    h' = o∘tanh(c'). With `peephole`, W_ci∘c, W_cf∘c and W_co∘c' are added to the gates i, f and o;
    these weights have the size of the state and are 0 at first.
    """

    def __init__(
        self, inputs: int, hidden: int, *, size: tuple[int, int], peephole: bool = False
    ) -> None:
        super().__init__()
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, 3, padding=1)
        self.peephole = nn.Parameter(torch.zeros(3, hidden, *size)) if peephole else None

    def begin(self, geometry: Winograd, batch: int) -> Recurrence:
        """Transforms the weights, once for all steps of a batch; the first states are zero.

        Args:
            geometry: tiles of the state.
            batch: number of sequences.

        Returns:
            The cell's recurrence.
        """
        weights = geometry.transform_weights(self.gates.weight.permute(1, 2, 3, 0))
        peephole = None
        if self.peephole is not None:
            peephole = [
                geometry.cut_tiles(weight.permute(1, 2, 0).expand(batch, -1, -1, -1))
                for weight in self.peephole
            ]
        assert self.gates.bias is not None
        return Recurrence(geometry, weights, self.gates.bias, peephole)


@dataclass
class Recurrence:
    """Holds what a cell needs from step to step; images are stored as tiles of `geometry`.

    A transformed tile has n² numbers (see `Winograd`).
    """

    geometry: Winograd
    weights: Tensor
    """(n², inputs + hidden, 4·hidden): transformed weights of the gates."""
    bias: Tensor
    peephole: list[Tensor] | None
    """W_ci, W_cf and W_co as output tiles; None without peepholes."""
    state: State | None = None
    """h as transformed input tiles, c as output tiles; None for zeros, which need no products."""

    def step(self, x: Tensor) -> Tensor:
        """Computes the next state.

        Args:
            x: (n², batch·tiles, inputs), the cell's input as transformed tiles.

        Returns:
            (n², batch·tiles, hidden), the next h as transformed tiles.
        """
        if self.state is None:
            products = torch.bmm(x, self.weights[:, : x.shape[2]])
        else:
            products = torch.bmm(torch.cat([x, self.state[0]], dim=2), self.weights)
        gates = self.geometry.transform_outputs(products, self.bias)
        i, f, o, g = gates.chunk(4, dim=2)
        if self.peephole is not None and self.state is not None:
            i = i + self.peephole[0] * self.state[1]
            f = f + self.peephole[1] * self.state[1]
        c = i.sigmoid() * tanh(g)
        if self.state is not None:
            c = torch.addcmul(c, f.sigmoid(), self.state[1])
        if self.peephole is not None:
            o = o + self.peephole[2] * c
        h = self.geometry.join_tiles(o.sigmoid() * tanh(c))
        self.state = (self.geometry.transform_inputs(h, border=1), c)
        return self.state[0]


class ConvLSTMStack(nn.Module):
    """Stacks two cells; the second reads the first's output."""

    def __init__(self, inputs: int, config: ConvLSTMConfig, size: tuple[int, int]) -> None:
        super().__init__()
        hidden = config.hidden_channels
        self.cells = nn.ModuleList(
            ConvLSTMCell(channels, hidden, size=size, peephole=config.peephole)
            for channels in (inputs, hidden)
        )

    def begin(self, geometry: Winograd, batch: int) -> Callable[[Tensor], Tensor]:
        """Begins the recurrences of both cells.

        Args:
            geometry: tiles of the state.
            batch: number of sequences.

        Returns:
            A function from the stack's next input to the top cell's next output, both as
            transformed tiles.
        """
        bottom, top = (cast(ConvLSTMCell, cell).begin(geometry, batch) for cell in self.cells)
        return lambda x: top.step(bottom.step(x))


@register("convlstm", task="prediction")
class ConvLSTM(Variant):
    """Predicts frames by a convolutional LSTM, sequence to sequence (Shi et al. 2015).

    Two encoder cells read the past frames. Two decoder cells begin with zero states. Their first
    input is the last output of the top encoder cell; each later input is their own last output. A
    1×3×3 convolution over each decoder output and a sigmoid give frames in [0, 1]. With
    `patch_size` p, p×p pixels are folded into channels first and unfolded at the end; both sides
    must be multiples of p. Nothing is resized. The default size is 1,036,097 parameters.

    With `all_at_once`, frames are not predicted one after the other: one 3×3 convolution of the
    last output of the top encoder cell gives all of them, and there are no decoder cells.

    Convolutions are minimal filters, in float32 at least even under autocast. On a CPU a batch
    passes through the cells in slices, whose gradients are summed.

    Untrained frames are grey (0.5), as those of any network that ends in a sigmoid. With
    `initial_brightness` 0.05, our choice in sweeps, they are nearly as dark as the background.
    """

    Config = ConvLSTMConfig
    config: ConvLSTMConfig
    published_budgets: ClassVar = {
        "moving_mnist": SourceBudget(
            "the guide: batches of 12, 10 past and 10 future frames",
            train_samples=10_000,
            epochs=300,
        )
    }

    def __init__(self, *, shape: ClipShape, config: ConvLSTMConfig) -> None:
        super().__init__(shape=shape, config=config)
        patch, hidden = config.patch_size, config.hidden_channels
        check_patches("frames", (shape.height, shape.width), patch)
        self.future = shape.future
        channels = shape.channels * patch**2
        size = (shape.height // patch, shape.width // patch)
        self.encoder = ConvLSTMStack(channels, config, size)
        self.decoder = None if config.all_at_once else ConvLSTMStack(hidden, config, size)
        self.at_once = shape.future if config.all_at_once else 1
        self.head = nn.Conv2d(hidden, self.at_once * channels, 3, padding=1)
        set_initial_brightness(self.head, config.initial_brightness, activation="sigmoid")

    def forward(self, past: Tensor) -> Tensor:
        """Predicts the future frames.

        Args:
            past: (batch, past frames, channels, height, width) in [0, 1].

        Returns:
            (batch, future frames, channels, height, width) in [0, 1].
        """
        with without_autocast(past.device):
            return torch.cat([self._predict(part) for part in past.split(self._slice(past))])

    def _slice(self, past: Tensor) -> int:
        """Computes how many sequences pass through the cells at once; on a GPU all do."""
        if past.device.type != "cpu":
            return len(past)
        return max(1, SLICE * self.config.patch_size**2 // (past.shape[3] * past.shape[4]))

    def _predict(self, past: Tensor) -> Tensor:
        """Predicts the future frames of one slice of the batch."""
        folded = fold(past, self.config.patch_size).permute(1, 0, 3, 4, 2)
        _, batch, rows, columns, _ = folded.shape
        geometry = Winograd(kernel=3, rows=rows, columns=columns)
        read = self.encoder.begin(geometry, batch)
        for frame in folded:
            top = read(geometry.transform_inputs(frame, border=1))
        head = geometry.transform_weights(self.head.weight.permute(1, 2, 3, 0))
        write = None if self.decoder is None else self.decoder.begin(geometry, batch)
        frames: list[Tensor] = []
        # Each output is decoded before the next one is computed: in another order, the gradients
        # of `head` would be added in another order, and the bits of older records would change.
        for _ in range(0, self.future, self.at_once):
            top = top if write is None else write(top)
            logits = geometry.transform_outputs(torch.bmm(top, head), self.head.bias)
            maps = geometry.join_tiles(logits).permute(0, 3, 1, 2)
            frames.append(maps.unflatten(1, (self.at_once, -1)))
        return unfold(torch.cat(frames, 1).sigmoid(), self.config.patch_size)

    def loss(self, batch: Clips) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss term `mse`, the mean squared error over sequences, frames and pixels.

        Args:
            batch: past and future frames.

        Returns:
            The loss term by name, and the predicted frames as `forward` returns them.
        """

        def loss(past: Tensor, future: Tensor) -> tuple[Tensor, Tensor]:
            frames = self(past)
            return F.mse_loss(frames, future), frames

        size = self._slice(batch.past)
        value, frames = mean_over_slices(loss, batch, self.parameters(), size=size)
        return {"mse": value}, frames

    def optimization(self) -> Optimization:
        config = self.config
        betas = (config.beta1, config.beta2)
        return Optimization(
            torch.optim.Adam(self.parameters(), lr=config.lr, betas=betas, fused=True)
        )
