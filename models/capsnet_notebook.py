"""Implements a capsule network as a public notebook builds it: it deviates from the paper.

The textbook version is models/textbook/capsnet_notebook.py.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.capsule_network import (
    CapsuleConfig,
    CapsuleNetwork,
    CapsuleVariant,
    Structure,
    margin_loss,
)
from models.layers.capsules import length
from models.layers.images import STANDARDISED
from models.layers.labels import multi_hot
from models.registry import register
from models.variant import Images, ImageShape, Optimization, SourceBudget


class NotebookConfig(CapsuleConfig):
    """Holds the sizes of `capsnet`, with the batch size and the learning rate of the notebook."""

    batch_size: int = Field(16, ge=1, description="samples per training step")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")


@register("capsnet-notebook", task="classification")
class NotebookCapsNet(CapsuleVariant):
    """Classifies images by capsules as a well-known notebook does, unlike the paper in places.

    Couplings sum to 1 over the input capsules. The margin loss is not squared. The reconstruction
    term is a mean over pixels. W is drawn from a standard normal distribution. The decoder always
    reads the predicted capsules. Pixels are neither shifted nor scaled. The learning rate is
    constant. Images are rescaled as for `capsnet`, and the network has the same sizes. The notebook
    has MNIST only; the presets that standardise svhn and cifar10 are ours.
    """

    Config = NotebookConfig
    config: NotebookConfig
    presets: ClassVar = STANDARDISED
    published_budgets: ClassVar = {
        "mnist": SourceBudget(
            "the notebook: test accuracy after the last epoch", train_samples=60_000, epochs=5
        )
    }

    def __init__(self, *, shape: ImageShape, config: NotebookConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.network = CapsuleNetwork(
            shape=shape, config=config, structure=Structure(over="inputs")
        )
        nn.init.normal_(self.network.digits.weight)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss terms `margin` (without squares) and, with a decoder, `reconstruction`.

        `reconstruction` is the mean squared error over pixels.

        Args:
            batch: images and labels.

        Returns:
            The loss terms by name, averaged over the batch. Then capsule lengths (batch, classes).
        """
        network, config = self.network, self.config
        image = network.evaluation_view(batch.x)
        capsules = network(image)
        lengths = length(capsules)
        terms = {
            "margin": margin_loss(
                lengths,
                multi_hot(batch.y, network.classes),
                m_plus=config.m_plus,
                m_minus=config.m_minus,
                absent_weight=config.absent_weight,
                power=1,
            )
        }
        if network.decoder is not None:
            decoded = network.decoder(capsules, network.predicted(lengths))
            terms["reconstruction"] = F.mse_loss(decoded, image)
        return terms, lengths

    def optimization(self) -> Optimization:
        return Optimization(torch.optim.Adam(self.parameters(), lr=self.config.lr, fused=True))
