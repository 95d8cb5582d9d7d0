"""Implements object capsules over the parts of a trained part autoencoder.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2.3; weights follow the authors' code.

The textbook version is models/textbook/ocae.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from models.layers.drawing import hues
from models.layers.object_capsules import (
    ObjectAutoencoder,
    ObjectConfig,
    Objects,
    object_loss_weights,
)
from models.layers.part_capsules import Decoded, Views
from models.layers.recipes import RecipeConfig, recipe
from models.pcae import PCAE
from models.registry import register
from models.variant import Coded, Images, ImageShape, Optimization, Picture, Variant


class OCAEConfig(ObjectConfig, RecipeConfig):
    """Holds the sizes and loss weights of the object autoencoder, and its recipe."""

    optimizer: Literal["sgd", "radam", "rmsprop"] = Field("rmsprop", description="optimiser")
    lr: float = Field(
        1e-3,
        gt=0,
        description="learning rate; users' configuration files have 0.1, stable for SGD only",
    )
    clip_norm: float = Field(
        1e2,
        gt=0,
        description="norm that gradients are clipped to, so that a large first step (SGD at a rate "
        "of 0.1) does not overflow",
    )


@register("ocae", task="autoencoding")
class OCAE(Variant):
    """Explains the parts of a frozen `pcae` by object capsules (Kosiorek et al. 2019).

    Images are placed on the canvas as in `pcae`, which finds their parts without noise. The object
    capsules of the highest level give the code, their posterior presences, and the prior, their
    prior presences. The reconstruction is drawn by the part decoder, from the parts in the poses
    that the winning objects vote for (the paper's top-down reconstruction). It is omitted in
    training, since no loss term needs it.

    Training on MNIST. The code of an untrained network is a nearly linear random function of the
    parts, from which a linear probe predicts the class well. Within some hundred steps the votes
    become sharp, each part is assigned to one capsule, nearly the same one in all images, and the
    probe scores less. All presences are then near 1/C, where both prior terms are 0. Over thousands
    of steps the presences become different between images; they differ more if the poses of the
    base do. The posterior's weights are those of the authors' script for MNIST: 0.7 within and 0.2
    between examples. With larger weights (the defaults of their code are 10 and 10) presences
    differ more.

    The following was measured on 55,000 images, with probes on validation data, one seed, batches
    of 16, RAdam at a rate of 1e-3, posterior weights of 0.5 and 10, and a `pcae` with `alpha` and
    `mse_weight` 1000 trained for 3,000 steps of 32 images. LIN-PRED of the posterior (and of the
    prior) was 0.947 (0.873) untrained, 0.867 (0.741) after 250 steps, 0.858 (0.809) after 1,000,
    0.802 (0.929) after 5,000, and 0.773 (0.931) after 20,000 steps, when presences had a deviation
    of 0.042 over images. On a `pcae` trained for 250 steps, which reconstructed little better than
    the mean image, LIN-PRED of the posterior fell from 0.829 to 0.352, with a deviation of 0.006.
    With the weights 0.7 and 0.2 (and `object_noise` 2 instead of 1) it was 0.593 after 5,000 steps,
    with a deviation of 0.005. With 10 and 10, 20 capsules of a smaller network and batches of 32,
    it was 0.834 after 20,000 steps, with a deviation of 0.18.
    """

    Config = OCAEConfig
    config: OCAEConfig
    base_variant = "pcae"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"cifar10": {"object_capsules": 64}}

    def __init__(self, *, shape: ImageShape, config: OCAEConfig, base: PCAE) -> None:
        super().__init__(shape=shape, config=config)
        self.base = base.requires_grad_(False).eval()
        self.network = ObjectAutoencoder(
            parts=base.config.part_capsules,
            features=base.config.part_features,
            templates=base.network.template_numbers,
            classes=shape.classes,
            config=config,
        )

    def train(self, mode: bool = True) -> OCAE:
        """Sets the training mode of the object autoencoder; the base stays in evaluation mode.

        Args:
            mode: whether to train.

        Returns:
            The model itself.
        """
        super().train(mode)
        self.base.eval()
        return self

    @property
    def loss_weights(self) -> dict[str, float]:
        return object_loss_weights(self.config)

    def target(self, x: Tensor) -> Tensor:
        return self.base.target(x)

    def forward(self, x: Tensor) -> Coded:
        """Encodes images, and reconstructs them from their objects.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            Code and prior, each (batch, object capsules); target, reconstruction and
            log-likelihood.
        """
        views = self.base.network.views(x)
        return self._coded(self._objects(views), views)

    def encode(self, x: Tensor) -> Coded:
        objects = self._objects(self.base.network.views(x))
        return Coded(objects.posterior, objects.prior)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """Computes the loss terms of the object autoencoder, for each of its levels.

        `parts` is the negative log-likelihood of the parts' poses. `dynamic` is the l2 penalty on
        dynamic poses. Four terms make priors and posteriors sparse, within an example and between
        examples.

        Args:
            batch: images; labels are not read.

        Returns:
            The loss terms by name, and the output of `forward`; in training mode only its code and
            prior.
        """
        views = self.base.network.views(batch.x, shifted=self.training)
        objects = self._objects(views)
        if self.training:
            return objects.terms, Coded(objects.posterior, objects.prior)
        return objects.terms, self._coded(objects, views)

    def optimization(self) -> Optimization:
        return recipe([{"params": list(self.network.parameters())}], self.config)

    def pictures(self, batch: Images) -> dict[str, Picture]:
        """Draws targets and reconstructions, each in a row.

        The rows are: targets, reconstructions from the parts, reconstructions from the objects, and
        these with each part in the colour of its object.

        Args:
            batch: images; labels are not read.

        Returns:
            Pictures by name.
        """
        network = self.base.network
        views = network.views(batch.x)
        objects = self._objects(views)
        own = network.decode(network.encode(views.image), views.target)
        decoded = self._decoded(objects, views)
        colours = hues(objects.prior.shape[1]).to(views.target)[objects.winner]
        brightness = decoded.mixing * decoded.drawn.mean(1)
        coloured = torch.einsum("mbhw,bmc->bchw", brightness, colours)
        rows = (views.target, own.reconstruction, decoded.reconstruction, coloured)
        return {"objects": [list(row) for row in rows]}

    def _objects(self, views: Views) -> Objects:
        """Explains the parts of images by objects."""
        network = self.base.network
        with torch.no_grad():
            parts = network.encode(views.image)
            templates = network.templates(parts)
        return self.network(parts, templates)

    def _decoded(self, objects: Objects, views: Views) -> Decoded:
        """Draws the parts in the poses that their objects vote for."""
        with torch.no_grad():
            return self.base.network.decode(objects.explained, views.target)

    def _coded(self, objects: Objects, views: Views) -> Coded:
        """Builds the output of `forward`."""
        decoded = self._decoded(objects, views)
        return decoded.coded(objects.posterior, objects.prior, views.target)
