"""Implements the Temporal Latent Bottleneck as the Keras example builds it.

The textbook version is models/textbook/tlb_keras.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.layers.prenorm import Attention
from models.registry import register
from models.tlb import TLB, AttentionTargets, BottleneckClassifier, BottleneckConfig
from models.variant import ImageShape, SourceBudget


def keras_schedule(layers: int, r: int) -> list[AttentionTargets]:
    """Lists the blocks of the Keras example's fast stream.

    There are layers + ⌈layers/r⌉ blocks, all with self-attention. Blocks 0, r, 2r … also attend to
    the state.

    Args:
        layers: number of layers in the example's sense.
        r: distance between two blocks that attend to the state.

    Returns:
        What each block attends to, in order.
    """
    return [
        AttentionTargets(itself=True, state=i % r == 0)
        for i in range(layers + math.ceil(layers / r))
    ]


@register("tlb-keras", task="classification")
class KerasTLB(BottleneckClassifier):
    """Classifies images by the Temporal Latent Bottleneck of a well-known Keras example.

    The example departs from the paper; this variant keeps its departures. There are layers +
    ⌈layers/r⌉ blocks. Each block attends to its chunk; blocks 0, r, 2r … of this list then also
    attend to the state, with separate weights, and apply the block's feed-forward layer after each
    attention. The state is as long as a chunk, and zero at first. Positions count within the image.
    The class is computed from the mean of the fast stream of the **last chunk**. Heads do not share
    the dimensions: each head has all of them. Dropout of attention is applied to the softmax
    weights.

    Images are resized and cropped as for `tlb`. Initial weights are Keras's: Glorot's uniform ones.
    The projections of query, key and value are stored as (dim, heads, head_dim); Keras takes the
    first axis for positions of a convolution, which makes the weights nearly six times smaller.
    415,882 parameters for images with three channels. Pixels are not standardised, as in the
    example, except for svhn, which the example does not have.
    """

    # The Keras example does not standardise CIFAR-10.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        dataset: preset for dataset, preset in TLB.presets.items() if dataset != "cifar10"
    }
    published_budgets: ClassVar = {
        "cifar10": SourceBudget(
            "the Keras example: accuracy on the images held out, batches of 2048",
            train_samples=40_000,
            epochs=30,
            validation_samples=10_000,
        )
    }

    def __init__(self, *, shape: ImageShape, config: BottleneckConfig) -> None:
        super().__init__(
            shape=shape,
            config=config,
            schedule=keras_schedule(config.layers, config.r),
            head_dim=config.dim,
        )
        self.positions = nn.Parameter(torch.empty(self.chunks, config.chunk_size, config.dim))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _glorot_uniform_(module, module.in_features + module.out_features)
                nn.init.zeros_(module.bias)
        # Below: the bounds of tf.keras.layers.Embedding, and those of Glorot's uniform weights for
        # the shapes (p, p, channels, dim), (dim, heads, head_dim) and (heads, head_dim, dim).
        nn.init.uniform_(self.positions, -0.05, 0.05)
        dim, heads = config.dim, config.heads
        pixels = self.tokens.projection.in_features
        _glorot_uniform_(self.tokens.projection, pixels + config.patch_size**2 * dim)
        for module in self.modules():
            if isinstance(module, Attention):
                for projection in (module.query, module.key, module.value):
                    _glorot_uniform_(projection, dim * heads + dim * dim)
                _glorot_uniform_(module.output, 2 * heads * dim)

    def initial_state(self, batch: int) -> Tensor:
        zeros = self.positions.new_zeros(())
        return zeros.expand(batch, self.config.chunk_size, self.config.dim)

    def scores(self, image: Tensor) -> Tensor:
        return self.head(self.read(image).fast.mean(1))


def _glorot_uniform_(linear: nn.Linear, fans: int) -> None:
    """Draws weights as Glorot's uniform initialiser does; `fans` is the sum of both fans."""
    bound = math.sqrt(6 / fans)
    nn.init.uniform_(linear.weight, -bound, bound)
