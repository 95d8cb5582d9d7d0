"""Implements part capsules: an image is explained by templates in poses.

Kosiorek, Sabour, Teh, Hinton: Stacked Capsule Autoencoders, NeurIPS 2019 (arXiv 1906.06818),
section 2.2; details follow the authors' code.

The textbook version is models/textbook/pcae.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.drawing import hues
from models.layers.numerics import LOG_SQRT_TAU
from models.layers.part_capsules import Decoded, PartAutoencoder, PartConfig, Views
from models.layers.parts import Parts
from models.layers.recipes import recipe
from models.layers.sparsity import prior_sparsity
from models.registry import register
from models.variant import Coded, Images, ImageShape, Optimization, Picture, SourceBudget, Variant


class PartVariant(Variant):
    """Is the base class of variants with a part autoencoder: loss terms, recipe, pictures."""

    shape: ImageShape
    config: PartConfig
    network: PartAutoencoder

    def target(self, x: Tensor) -> Tensor:
        return self.network.views(x).target

    def image_terms(self, parts: Parts, views: Views, decoded: Decoded) -> dict[str, Tensor]:
        """Computes the loss terms of the part autoencoder.

        `image` is the negative log-likelihood of the target, minus that of a reconstruction without
        error. `template_l1` is the mean value of the templates. `mse` is the mean squared error.
        `presence_within` and `presence_between` are the l2 sparsity of presences.

        Args:
            parts: the parts of a batch of images.
            views: the images.
            decoded: the parts drawn as images.

        Returns:
            Scalars by name.
        """
        least = views.target[0].numel() * LOG_SQRT_TAU
        reconstruction = decoded.reconstruction
        if self.config.mse_weight == 0:  # saves the time of a gradient that is multiplied by 0
            reconstruction = reconstruction.detach()
        sparsity = prior_sparsity(parts.presence, self.shape.classes)
        return {
            "image": -decoded.log_likelihood.mean() - least,
            "template_l1": self.network.decoder.templates.mean(),
            "mse": F.mse_loss(reconstruction, views.target),
            "presence_within": sparsity["prior_within"],
            "presence_between": sparsity["prior_between"],
        }

    @property
    def loss_weights(self) -> dict[str, float]:
        config = self.config
        return {
            "image": config.likelihood_weight,
            "template_l1": config.template_l1_weight,
            "mse": config.mse_weight,
            "presence_within": config.presence_within_weight,
            "presence_between": config.presence_between_weight,
        }

    @property
    def rate_coefficients(self) -> dict[nn.Module, float]:
        """Returns factors of the learning rate by module; it is 1 for the remaining modules."""
        return {self.network.decoder: self.config.decoder_lr}

    def optimization(self) -> Optimization:
        groups: list[dict[str, Any]] = [
            {"params": list(module.parameters()), "lr": self.config.lr * coefficient}
            for module, coefficient in self.rate_coefficients.items()
        ]
        inside = {id(p) for group in groups for p in group["params"]}
        others = [p for p in self.parameters() if id(p) not in inside]
        return recipe([{"params": others}, *groups], self.config)

    def part_pictures(self, views: Views, decoded: Decoded) -> dict[str, Picture]:
        """Draws parts and templates.

        Args:
            views: the images.
            decoded: the parts drawn as images.

        Returns:
            `parts`: targets, reconstructions, and reconstructions with one colour per part, each in
            a row. `templates`: the templates. `transformed templates`: the templates in the poses
            of the first image.
        """
        coloured = decoded.coloured(hues(self.config.part_capsules))
        rows = (views.target, decoded.reconstruction, coloured)
        return {
            "parts": [list(row) for row in rows],
            "templates": _rows(self.network.decoder.templates),
            "transformed templates": _rows(decoded.drawn[:, :, 0]),
        }


def _rows(images: Tensor, columns: int = 8) -> Picture:
    """Arranges images in rows."""
    return [list(row) for row in images.split(columns)]


@register("pcae", task="autoencoding")
class PCAE(PartVariant):
    """Explains images by parts, which are templates in poses (Kosiorek et al. 2019).

    A CNN finds the affine pose, presence and features of each part. At each pixel, learned
    templates, drawn in these poses, and a learned background are mixed. The likelihood of the image
    under this mixture is maximised. The code is the fraction of the canvas that each part explains;
    the prior is the presence of each part.

    Images stay as they are by default. With `max_side`, larger images are resized by area
    averaging. With `canvas`, images are padded with zeros to sides of at least `canvas`, at random
    places in training and at the centre otherwise. The target is the resulting image. With
    `target=sobel` the target is its edges, found as by the authors, but before padding, so that the
    image's border is no edge. With `standardise`, the encoder reads each image minus its mean,
    divided by its deviation; the target is not standardised. Templates have as many channels as
    images; with `colour` they have one channel, and the part's features give their colour.

    Defaults are those of its users on MNIST. `exp` and `cosrestarts` count steps; users' epochs
    have 469 steps. The presets of svhn and cifar10 are the paper's, except that standardised input
    is our choice. The presets of usps and moving_mnist are ours. The default size at 1×28×28 is
    496,018 parameters.
    """

    Config = PartConfig
    config: PartConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "usps": {"template_size": 7},
        "svhn": {
            "part_capsules": 24,
            "template_size": 14,
            "target": "sobel",
            "colour": True,
            "standardise": True,
        },
        "cifar10": {
            "part_capsules": 32,
            "template_size": 14,
            "target": "sobel",
            "standardise": True,
        },
        "moving_mnist": {"part_capsules": 24},
    }
    published_budgets: ClassVar = {
        dataset: SourceBudget("the default of the code's users", train_samples=samples, epochs=3000)
        for dataset, samples in (
            ("mnist", 60_000),
            ("usps", 7_291),
            ("cifar10", 50_000),
            ("svhn", 73_257),
        )
    }

    def __init__(self, *, shape: ImageShape, config: PartConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.network = PartAutoencoder(shape=shape, config=config)

    def forward(self, x: Tensor) -> Coded:
        """Finds the parts of images, and reconstructs the images.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            Code and prior, each (batch, part capsules); target, reconstruction and log-likelihood.
        """
        views = self.network.views(x)
        parts = self.network.encode(views.image)
        decoded = self.network.decode(parts, views.target)
        return decoded.coded(decoded.mass, parts.presence, views.target)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        """Computes the loss terms of the part autoencoder.

        `image_terms` describes the terms; all but `image` have weight 0 by default.

        Args:
            batch: images; labels are not read.

        Returns:
            The loss terms by name, and the output of `forward`.
        """
        views = self.network.views(batch.x, shifted=self.training)
        parts = self.network.encode(views.image, noisy=self.training)
        decoded = self.network.decode(parts, views.target)
        coded = decoded.coded(decoded.mass, parts.presence, views.target)
        return self.image_terms(parts, views, decoded), coded

    def pictures(self, batch: Images) -> dict[str, Picture]:
        views = self.network.views(batch.x)
        return self.part_pictures(
            views, self.network.decode(self.network.encode(views.image), views.target)
        )
