"""Object capsules over the parts of a trained part autoencoder.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2.3; weights as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from models.layers.colours import hues
from models.layers.object_capsules import (
    ObjectAutoencoder,
    ObjectConfig,
    Objects,
    object_loss_weights,
)
from models.layers.recipes import RecipeConfig, recipe
from models.pcae import PCAE, Decoded, Views
from models.registry import register
from models.variant import Coded, Images, ImageShape, Optimization, Picture, Variant


class OCAEConfig(ObjectConfig, RecipeConfig):
    """The object autoencoder's sizes and weights, and its recipe."""

    optimizer: Literal["sgd", "radam", "rmsprop"] = Field("rmsprop", description="optimiser")
    lr: float = Field(
        1e-3,
        gt=0,
        description="learning rate; users' settings files say 0.1, which only SGD survives",
    )
    clip_norm: float = Field(
        1e2,
        gt=0,
        description="gradients are clipped to this norm, so that a large first step, as of SGD at "
        "a rate of 0.1, does not overflow",
    )


@register("ocae", task="autoencoding")
class OCAE(Variant):
    """The object capsule autoencoder, over the parts of a frozen `pcae` (Kosiorek et al. 2019).

    Images are placed on the canvas as the `pcae` does it. Its parts are found without noise; the
    object capsules of the highest level give the code, their posterior masses, and the prior, their
    presences. What is reconstructed, and scored, is the image drawn by the part decoder from the
    parts in the poses that the winning objects vote for (the paper's top-down reconstruction). In
    training, where no loss term needs it, it is left out.

    What to expect of training on MNIST. The code of an untrained network is a nearly linear, random
    function of the parts, from which a linear probe reads the class well. Within some hundred steps
    the votes become sharp, each part is assigned to one capsule, nearly the same one in all images,
    and the probe scores less. All presences are then near 1/C, where both prior terms are 0. Over
    thousands of steps presences come to differ between images, the more if the poses of the base
    do. The posterior's weights are those of the authors' script for MNIST, .7 within and .2 between
    examples; with larger ones (their code's defaults are 10 and 10) presences differ more.

    Measured on 55,000 images, with probes on validation data, one seed, batches of 16, RAdam at a
    rate of 1e-3, the posterior's weights .5 and 10, on a `pcae` with `alpha` and `mse_weight` 1000
    after 3,000 steps of 32 images: LIN-PRED of the posterior (and of the prior) was .947 (.873)
    untrained, .867 (.741) after 250 steps, .858 (.809) after 1,000, .802 (.929) after 5,000, and
    .773 (.931) after 20,000, when presences had a deviation of .042 over images. On a `pcae` after
    250 steps, which reconstructed little better than the mean image, the posterior's fell from .829
    to .352, with a deviation of .006. With the weights .7 and .2 (and `object_noise` 2 instead of
    1) it was .593 after 5,000 steps, with a deviation of .005. With 10 and 10, 20 capsules of a
    smaller network and batches of 32, it was .834 after 20,000, with a deviation of .18.
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
        """The base stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    @property
    def loss_weights(self) -> dict[str, float]:
        return object_loss_weights(self.config)

    def target(self, x: Tensor) -> Tensor:
        return self.base.target(x)

    def forward(self, x: Tensor) -> Coded:
        """x: (batch, channels, height, width) to code and prior (batch, object capsules)."""
        views = self.base.network.views(x)
        return self._coded(self._objects(views), views)

    def encode(self, x: Tensor) -> Coded:
        objects = self._objects(self.base.network.views(x))
        return Coded(objects.posterior, objects.prior)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """`parts`, their negative log-likelihood, `dynamic`, and prior and posterior sparsity."""
        views = self.base.network.views(batch.x, shifted=self.training)
        objects = self._objects(views)
        if self.training:
            return objects.terms, Coded(objects.posterior, objects.prior)
        return objects.terms, self._coded(objects, views)

    def optimization(self) -> Optimization:
        return recipe([{"params": list(self.network.parameters())}], self.config)

    def pictures(self, batch: Images) -> dict[str, Picture]:
        """Targets, the base's own reconstructions, the objects', and these in objects' colours."""
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
        network = self.base.network
        with torch.no_grad():
            parts = network.encode(views.image)
            templates = network.templates(parts)
        return self.network(parts, templates)

    def _decoded(self, objects: Objects, views: Views) -> Decoded:
        with torch.no_grad():
            return self.base.network.decode(objects.explained, views.target)

    def _coded(self, objects: Objects, views: Views) -> Coded:
        decoded = self._decoded(objects, views)
        return Coded(
            code=objects.posterior,
            prior=objects.prior,
            target=views.target,
            reconstruction=decoded.reconstruction,
            log_likelihood=decoded.log_likelihood,
        )
