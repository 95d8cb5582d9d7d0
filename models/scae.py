"""Implements stacked capsules: objects explain parts, parts explain images, trained end to end.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2; weights and recipe follow the authors' code.

The textbook version is models/textbook/scae.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from models.layers.drawing import hues
from models.layers.initialisation import initialise_as_sonnet
from models.layers.labels import cross_entropy
from models.layers.object_capsules import (
    ObjectAutoencoder,
    ObjectConfig,
    Objects,
    object_loss_weights,
)
from models.layers.part_capsules import PartAutoencoder, PartConfig
from models.layers.parts import Parts
from models.pcae import PartVariant
from models.registry import register
from models.variant import Coded, Images, ImageShape, Picture, SourceBudget


class SCAEConfig(ObjectConfig, PartConfig):
    """Holds sizes and weights of both autoencoders; the defaults are those of the authors' MNIST
    model.

    The authors' script for MNIST also defines the constant 4.3 for the prior sparsity within an
    example, but does not pass it to their model. Their model, like this one, uses the number of
    object capsules divided by the number of classes, 3.2.
    """

    part_capsules: int = Field(40, ge=1, description="part capsules, M")
    canvas: int = Field(
        40, ge=0, le=128, description="smallest side of the canvas that images are placed on"
    )
    alpha: bool = Field(True, description="whether templates have learned mixing logits")
    colour: bool = Field(
        True, description="whether templates are grey and coloured by the parts' features"
    )
    lr: float = Field(3e-5, gt=0, description="learning rate")
    optimizer: Literal["sgd", "radam", "rmsprop"] = Field("rmsprop", description="optimiser")
    scheduler: Literal["constant", "exp", "cosrestarts"] = Field(
        "constant", description="learning rate: constant, exponential decay, cosine with restarts"
    )
    object_lr: float = Field(
        1.0, gt=0, le=100, description="factor of the learning rate for the object autoencoder"
    )
    presence_l1_weight: float = Field(0.0, ge=0, description="weight of the sum of part presences")
    probe_weight: float = Field(1.0, ge=0, description="weight of each linear classifier")


@register("scae", task="autoencoding")
class SCAE(PartVariant):
    """Explains images by parts and parts by objects, trained end to end (Kosiorek et al. 2019).

    It consists of the part autoencoder of `pcae` and the object autoencoder of `ocae`, whose
    gradients reach only the features of the parts. The code is the sum of the probabilities with
    which each object capsule of the highest level explains the parts; the prior is the presence of
    each object capsule. Reconstruction and likelihood are computed from the parts. As in the
    authors' code, two linear classifiers are trained as well, one of priors and one of posteriors,
    and pass no gradient to them. The probes of the metrics are separate classifiers.

    Images are padded with zeros to sides of at least `canvas`, at random places in training and at
    the centre otherwise; larger images stay as they are. Templates are grey; the parts' features
    give their colour, and the object autoencoder reads them in this colour. With `standardise`, the
    encoder reads each image minus its mean, divided by its deviation. The presets of svhn and
    cifar10 are the paper's, except that standardised input is our choice. The presets of usps and
    moving_mnist are ours.

    The authors' code differs in three ways. It tests on images at random places, which is harder.
    Its attention reads only the most present parts, while here a part is weighted by its presence.
    Its initial templates differ (see `TemplateDecoder` in `models/layers/part_capsules.py`).
    """

    Config = SCAEConfig
    config: SCAEConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "usps": {"canvas": 24, "template_size": 7},
        "svhn": {
            "part_capsules": 24,
            "template_size": 14,
            "target": "sobel",
            "standardise": True,
        },
        "cifar10": {
            "part_capsules": 32,
            "template_size": 14,
            "object_capsules": 64,
            "target": "sobel",
            "colour": False,
            "standardise": True,
        },
        "moving_mnist": {"object_capsules": 64},
    }
    published_budgets: ClassVar = {
        "mnist": SourceBudget(
            "the authors: batches of 128 of all training images",
            train_samples=60_000,
            steps=300_000,
        )
    }

    def __init__(self, *, shape: ImageShape, config: SCAEConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.network = PartAutoencoder(shape=shape, config=config)
        self.objects = ObjectAutoencoder(
            parts=config.part_capsules,
            features=config.part_features,
            templates=self.network.template_numbers,
            classes=shape.classes,
            config=config,
        )
        capsules = config.object_capsules if config.object_levels == 1 else config.upper_capsules
        self.prior_probe = nn.Linear(capsules, shape.classes)
        self.posterior_probe = nn.Linear(capsules, shape.classes)
        for probe in (self.prior_probe, self.posterior_probe):
            initialise_as_sonnet(probe)

    @property
    def loss_weights(self) -> dict[str, float]:
        config = self.config
        return {
            **super().loss_weights,
            **object_loss_weights(config),
            "presence_l1": config.presence_l1_weight,
            "prior_probe": config.probe_weight,
            "posterior_probe": config.probe_weight,
        }

    @property
    def rate_coefficients(self) -> dict[nn.Module, float]:
        return {**super().rate_coefficients, self.objects: self.config.object_lr}

    def forward(self, x: Tensor) -> Coded:
        """Finds parts and objects of images, and reconstructs the images from the parts.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            Code and prior, each (batch, object capsules); target, reconstruction and
            log-likelihood.
        """
        views = self.network.views(x)
        parts = self.network.encode(views.image)
        objects = self._objects(parts)
        decoded = self.network.decode(parts, views.target)
        return decoded.coded(objects.posterior, objects.prior, views.target)

    def encode(self, x: Tensor) -> Coded:
        objects = self._objects(self.network.encode(self.network.views(x).image))
        return Coded(objects.posterior, objects.prior)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """Computes the loss terms of `pcae`, those of `ocae`, and three more.

        `presence_l1` is the sum of part presences. `prior_probe` and `posterior_probe` are the
        cross-entropies of the two classifiers.

        Args:
            batch: images and labels.

        Returns:
            The loss terms by name, and the output of `forward`.
        """
        views = self.network.views(batch.x, shifted=self.training)
        parts = self.network.encode(views.image, noisy=self.training)
        decoded = self.network.decode(parts, views.target)
        objects = self._objects(parts)
        terms = {
            **self.image_terms(parts, views, decoded),
            **objects.terms,
            "presence_l1": parts.presence.sum(1).mean(),
            "prior_probe": cross_entropy(self.prior_probe(objects.prior.detach()), batch.y),
            "posterior_probe": cross_entropy(
                self.posterior_probe(objects.posterior.detach()), batch.y
            ),
        }
        return terms, decoded.coded(objects.posterior, objects.prior, views.target)

    def pictures(self, batch: Images) -> dict[str, Picture]:
        """Draws the pictures of `pcae`, and reconstructions with one colour per object.

        Args:
            batch: images; labels are not read.

        Returns:
            Pictures by name.
        """
        views = self.network.views(batch.x)
        parts = self.network.encode(views.image)
        decoded, objects = self.network.decode(parts, views.target), self._objects(parts)
        coloured = decoded.coloured(hues(objects.prior.shape[1])[objects.winner.cpu()])
        rows = (views.target, decoded.reconstruction, coloured)
        return {
            **self.part_pictures(views, decoded),
            "objects": [list(row) for row in rows],
        }

    def _objects(self, parts: Parts) -> Objects:
        """Explains parts by objects."""
        return self.objects(parts, self.network.templates(parts))
