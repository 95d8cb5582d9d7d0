"""Defines what all classifiers of image patches share: crops, tokens and recipe."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from models.layers.images import (
    STANDARDISED,
    StandardisedConfig,
    check_patches,
    grey,
    random_crop,
    resize,
)
from models.layers.labels import cross_entropy
from models.layers.recipes import adamw
from models.layers.schedules import ScheduleConfig
from models.layers.slices import mean_over_slices
from models.variant import Images, ImageShape, Optimization, Variant

SLICE = 256
"""Images per slice of a batch; activations of only one slice are kept at a time."""


class PatchConfig(StandardisedConfig, ScheduleConfig):
    """Holds the sizes and the recipe; defaults of the Keras example."""

    batch_size: int = Field(2048, ge=1, description="samples per training step")
    image_size: int = Field(
        48, ge=1, description="side of the square image that the model reads, in pixels"
    )
    resize: int = Field(52, ge=1, description="side of training images before the crop, in pixels")
    flip: bool = Field(True, description="whether to mirror training images, with probability 1/2")
    grey: bool = Field(False, description="whether to convert colours to grey first")
    patch_size: int = Field(4, ge=1, description="side of a patch in pixels; each patch is a token")
    dim: int = Field(64, ge=1, description="dimensions of a token")
    heads: int = Field(1, ge=1, description="attention heads")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of attention and feed-forward")
    lr: float = Field(1e-4, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-4, ge=0, description="decoupled weight decay of AdamW")


class PatchTokens(nn.Module):
    """Cuts images into square patches and embeds each by one linear layer."""

    def __init__(self, *, channels: int, patch: int, dim: int) -> None:
        super().__init__()
        self.patch = patch
        self.projection = nn.Linear(channels * patch**2, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embeds patches, row by row.

        Args:
            x: (..., channels, height, width).

        Returns:
            (..., tokens, dim).
        """
        p = self.patch
        return self.projection(rearrange(x, "... c (h p) (w q) -> ... (h w) (c p q)", p=p, q=p))


class PatchClassifier(Variant):
    """Is the base class of classifiers of square images cut into patches; a subclass has `scores`.

    In evaluation, images of any size are resized (bilinear) to `image_size`. In training they are
    resized to `resize`; each image is then cropped at a random place, and mirrored at random if
    `flip` is true. With `standardise`, each crop is standardised before it is cut into patches.
    Pictures show the crop before standardising.
    """

    Config = PatchConfig
    config: PatchConfig
    # The presets are ours: the Keras example has CIFAR-10 only. Mirrored digits are no digits.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **STANDARDISED,
        **{name: {"flip": False} for name in ("mnist", "moving_mnist", "usps")},
        "svhn": {"flip": False, "standardise": True},
    }

    def __init__(self, *, shape: ImageShape, config: PatchConfig) -> None:
        super().__init__(shape=shape, config=config)
        check_patches("images", (config.image_size, config.image_size), config.patch_size)
        if config.resize < config.image_size:
            raise ValueError(
                f"crops of {config.image_size}×{config.image_size} pixels are larger than images "
                f"of {config.resize}×{config.resize}: take a larger resize or a smaller image_size"
            )
        self.side = config.image_size // config.patch_size
        channels = 1 if config.grey else shape.channels
        self.tokens = PatchTokens(channels=channels, patch=config.patch_size, dim=config.dim)

    @abstractmethod
    def scores(self, image: Tensor) -> Tensor:
        """Computes the scores of the classes.

        Args:
            image: (batch, channels, image_size, image_size).

        Returns:
            (batch, classes) logits.
        """

    def embed(self, image: Tensor) -> Tensor:
        """Computes the tokens of images, which are standardised first if `standardise` is true.

        Args:
            image: (batch, channels, image_size, image_size).

        Returns:
            (batch, tokens, dim).
        """
        return self.tokens(self.config.prepare(image))

    def evaluation_view(self, x: Tensor) -> Tensor:
        """Resizes images for evaluation; `embed` standardises them later.

        Args:
            x: (batch, channels, height, width).

        Returns:
            (batch, channels, image_size, image_size).
        """
        return resize(grey(x) if self.config.grey else x, self.config.image_size)

    def training_view(self, x: Tensor) -> Tensor:
        """Resizes, crops and mirrors images for training; `embed` standardises them later.

        Args:
            x: (batch, channels, height, width).

        Returns:
            (batch, channels, image_size, image_size).
        """
        config = self.config
        large = resize(grey(x) if config.grey else x, config.resize)
        return random_crop(large, (config.image_size, config.image_size), flip=config.flip)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of the classes.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            (batch, classes) logits.
        """
        return self.scores(self.evaluation_view(x))

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """Computes the loss term `cross_entropy`, the mean over images and labels.

        Args:
            batch: images and labels; in training mode the images are cropped at random.

        Returns:
            The loss term by name, and the logits (batch, classes).
        """

        def loss(image: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            scores = self.scores(image)
            return cross_entropy(scores, y), scores

        image = self.training_view(batch.x) if self.training else self.evaluation_view(batch.x)
        value, scores = mean_over_slices(loss, (image, batch.y), self.parameters(), size=SLICE)
        return {"cross_entropy": value}, scores

    def optimization(self) -> Optimization:
        config = self.config
        optimizer = adamw(self, lr=config.lr, weight_decay=config.weight_decay)
        return Optimization(optimizer, config.scheduler(optimizer))
