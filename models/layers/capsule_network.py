"""Implements the network of capsules with dynamic routing that both variants share.

Sabour, Frosst, Hinton: Dynamic Routing Between Capsules, NeurIPS 2017 (arXiv 1710.09829).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from models.layers.capsules import Axis, length, route, squash
from models.layers.convolutions import relu_then_stride_2, stride_2
from models.layers.images import Rescale, StandardisedConfig, centre_crop, pad_same
from models.layers.labels import multi_hot, top_labels
from models.layers.numerics import at_least_float32
from models.variant import Images, ImageShape, Picture, Variant

KERNEL = 9


class Structure(NamedTuple):
    """Holds the choices in how capsules are computed and routed, beside their sizes.

    Defaults are the paper's.
    """

    over: Axis = "outputs"
    """The capsules over which couplings sum to 1."""
    same_padding: bool = False
    """Whether both convolutions pad as TensorFlow's `SAME` does."""
    none_of_the_above: bool = False
    """Whether the routing softmax has one more logit, 0, which belongs to no class."""
    crop: int = 0
    """Side of the square cut out of the rescaled image, in pixels; 0: no crop."""
    as_code: bool = False
    """Whether class capsules have biases and primary capsules are divided, as in the authors' code.

    Primary capsules are divided by their number at a position.
    """


class CapsuleConfig(StandardisedConfig):
    """Holds the hyper-parameters of both variants; defaults of the paper's section 4."""

    conv_channels: int = Field(256, ge=1, description="channels of the first convolution")
    primary_capsules: int = Field(32, ge=1, description="primary capsules at each position")
    primary_dim: int = Field(8, ge=1, description="dimensions of a primary capsule")
    digit_dim: int = Field(16, ge=1, description="dimensions of a class capsule")
    routing_iterations: int = Field(3, ge=1, le=20, description="iterations of routing")
    m_plus: float = Field(
        0.9, ge=0, le=1, description="m⁺: a true class's capsule longer than this costs nothing"
    )
    m_minus: float = Field(
        0.1, ge=0, le=1, description="m⁻: an absent class's capsule shorter than this costs nothing"
    )
    absent_weight: float = Field(0.5, ge=0, description="λ, weight of the absent classes' margins")
    reconstruction: bool = Field(
        True, description="whether a decoder regularises the class capsules"
    )
    reconstruction_weight: float = Field(
        0.0005, ge=0, description="weight of the reconstruction loss"
    )
    decoder_first: int = Field(512, ge=1, description="width of the decoder's first layer")
    decoder_second: int = Field(1024, ge=1, description="width of the decoder's second layer")
    lr: float = Field(1e-3, gt=0, description="learning rate of Adam")


def margin_loss(
    lengths: Tensor,
    target: Tensor,
    *,
    m_plus: float = 0.9,
    m_minus: float = 0.1,
    absent_weight: float = 0.5,
    power: Literal[1, 2] = 2,
) -> Tensor:
    """Computes the margin loss of capsule lengths (equation 4).

    It is Σ_k T_k max(0, m⁺−‖v_k‖)² + λ(1−T_k) max(0, ‖v_k‖−m⁻)², averaged over the batch.

    Args:
        lengths: (batch, classes), the ‖v_k‖.
        target: (batch, classes), multi-hot, the T_k.
        m_plus: m⁺.
        m_minus: m⁻.
        absent_weight: λ.
        power: exponent of the margins; with 1 they are not squared.

    Returns:
        Scalar.
    """
    present = (m_plus - lengths).relu().pow(power)
    absent = (lengths - m_minus).relu().pow(power)
    return torch.where(target > 0, present, absent_weight * absent).sum(1).mean()


class PrimaryCapsules(nn.Module):
    """Computes primary capsules by a convolution, ReLU, and a convolution of stride 2.

    The channels of the second convolution at a position are the capsules of this position.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        config: CapsuleConfig,
        structure: Structure,
    ) -> None:
        super().__init__()
        self.dim, self.same_padding = config.primary_dim, structure.same_padding
        outputs = config.primary_capsules * self.dim
        self.features = nn.Conv2d(channels, config.conv_channels, KERNEL)
        self.capsules = nn.Conv2d(config.conv_channels, outputs, KERNEL, stride=2)
        border = 0 if self.same_padding else 2 * (KERNEL - 1)
        if min(size) <= border:
            raise ValueError(
                f"images of {size[0]}×{size[1]} pixels are too small for two convolutions of "
                f"{KERNEL}×{KERNEL}: take sides of at least {border + 1} pixels, or same_padding"
            )
        rows, columns = ((side - border + 1) // 2 for side in size)
        self.count = rows * columns * config.primary_capsules
        # The authors' code also routes to primary capsules: one iteration with equal couplings.
        self.divisor = config.primary_capsules + structure.none_of_the_above
        self.as_code = structure.as_code

    def forward(self, x: Tensor) -> Tensor:
        """Computes the capsules, position by position.

        Args:
            x: (batch, channels, height, width).

        Returns:
            (batch, positions·capsules, dims).
        """
        if self.same_padding:
            maps = self.features(pad_same(x, kernel=KERNEL, stride=1)).relu()
            maps = stride_2(pad_same(maps, kernel=KERNEL, stride=2), self.capsules)
        else:
            maps = relu_then_stride_2(x, self.features, self.capsules)
        if self.as_code:
            assert self.capsules.bias is not None
            whole_bias = (1 - 1 / self.divisor) * self.capsules.bias[:, None, None]
            maps = maps / self.divisor + whole_bias
        return squash(maps.permute(0, 2, 3, 1).reshape(len(x), self.count, self.dim))


class ClassCapsules(nn.Module):
    """Computes votes û_{j|i} = W_ij u_i and routes them to class capsules."""

    def __init__(
        self, *, inputs: int, classes: int, config: CapsuleConfig, structure: Structure
    ) -> None:
        super().__init__()
        self.iterations, self.over = config.routing_iterations, structure.over
        self.none_of_the_above = structure.none_of_the_above
        self.weight = nn.Parameter(
            torch.empty(inputs, config.primary_dim, classes, config.digit_dim)
        )
        bias = torch.empty(classes, config.digit_dim) if structure.as_code else None
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, u: Tensor) -> Tensor:
        """Computes class capsules.

        Args:
            u: (batch, inputs, primary_dim), the primary capsules.

        Returns:
            (batch, classes, digit_dim).
        """
        votes = torch.bmm(u.transpose(0, 1), self.weight.flatten(2))
        votes = votes.unflatten(2, self.weight.shape[2:]).permute(1, 2, 0, 3).contiguous()
        return route(
            votes,
            iterations=self.iterations,
            over=self.over,
            bias=self.bias,
            none_of_the_above=self.none_of_the_above,
        )


class Decoder(nn.Module):
    """Decodes class capsules to images; all but the chosen capsules are set to zero (figure 2)."""

    def __init__(
        self, *, classes: int, channels: int, size: tuple[int, int], config: CapsuleConfig
    ) -> None:
        super().__init__()
        self.image = (channels, *size)
        self.layers = nn.Sequential(
            nn.Linear(classes * config.digit_dim, config.decoder_first),
            nn.ReLU(),
            nn.Linear(config.decoder_first, config.decoder_second),
            nn.ReLU(),
            nn.Linear(config.decoder_second, channels * size[0] * size[1]),
        )

    def forward(self, capsules: Tensor, chosen: Tensor) -> Tensor:
        """Decodes capsules.

        Args:
            capsules: (batch, classes, dims).
            chosen: (batch, classes), multi-hot.

        Returns:
            (batch, channels, height, width) in [0, 1].
        """
        logits = self.layers((capsules * chosen.unsqueeze(-1)).flatten(1))
        return at_least_float32(logits).sigmoid().unflatten(1, self.image)


class CapsuleNetwork(nn.Module):
    """Computes class capsules from images, and images from class capsules, for both variants."""

    def __init__(self, *, shape: ImageShape, config: CapsuleConfig, structure: Structure) -> None:
        super().__init__()
        channels, height, width, self.classes, self.labels = shape
        self.prepare = config.prepare
        self.rescale = Rescale(height, width, low=28, high=56)
        self.size = (structure.crop, structure.crop) if structure.crop else self.rescale.size
        if structure.crop > min(self.rescale.size):
            raise ValueError(
                "a crop of {0}×{0} pixels is larger than the rescaled images of {1}×{2}: "
                "take a smaller crop".format(structure.crop, *self.rescale.size)
            )
        self.primary = PrimaryCapsules(
            channels=channels, size=self.size, config=config, structure=structure
        )
        self.digits = ClassCapsules(
            inputs=self.primary.count, classes=self.classes, config=config, structure=structure
        )
        self.decoder = (
            Decoder(classes=self.classes, channels=channels, size=self.size, config=config)
            if config.reconstruction
            else None
        )

    def evaluation_view(self, x: Tensor) -> Tensor:
        """Rescales images and crops their centre: the images that the network reads in evaluation.

        Args:
            x: (batch, channels, height, width).

        Returns:
            (batch, channels, *size).
        """
        return centre_crop(self.rescale(x), self.size)

    def forward(self, image: Tensor) -> Tensor:
        """Computes class capsules.

        Args:
            image: (batch, channels, *size), not yet standardised.

        Returns:
            (batch, classes, dims).
        """
        return self.digits(self.primary(self.prepare(image)))

    def predicted(self, lengths: Tensor) -> Tensor:
        """Chooses the longest capsules, as many as an image has labels.

        Args:
            lengths: (batch, classes).

        Returns:
            (batch, classes), multi-hot.
        """
        return multi_hot(top_labels(lengths, self.labels), self.classes)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Reconstructs images from their longest class capsules.

        Args:
            x: (batch, channels, height, width).

        Returns:
            The images that the network reads in evaluation, then their reconstructions, each
            (batch, channels, *size); None if there is no decoder.
        """
        if self.decoder is None:
            return None
        image = self.evaluation_view(x)
        capsules = self(image)
        return image, self.decoder(capsules, self.predicted(length(capsules)))


class CapsuleVariant(Variant):
    """Is the base class of both variants; the score of a class is the length of its capsule."""

    config: CapsuleConfig
    network: CapsuleNetwork

    def forward(self, x: Tensor) -> Tensor:
        """Computes the lengths of class capsules.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            (batch, classes) in [0, 1).
        """
        return length(self.network(self.network.evaluation_view(x)))

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Reconstructs images from their longest class capsules.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            Targets, then reconstructions, each (batch, channels, height', width'); None if there is
            no decoder.
        """
        return self.network.reconstruct(x)

    def pictures(self, batch: Images) -> dict[str, Picture]:
        """Draws images above their reconstructions.

        Args:
            batch: images; labels are not read.

        Returns:
            Pictures by name; none if there is no decoder.
        """
        rows = self.reconstruct(batch.x)
        return {} if rows is None else {"reconstructions": [list(row) for row in rows]}

    @property
    def loss_weights(self) -> dict[str, float]:
        return {"reconstruction": self.config.reconstruction_weight}
