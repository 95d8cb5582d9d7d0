"""Capsule networks with dynamic routing.

Sabour, Frosst, Hinton: Dynamic Routing Between Capsules, NeurIPS 2017 (arXiv 1710.09829).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.layers.capsules import Axis, length, route, squash
from models.layers.convolutions import relu_then_stride_2
from models.layers.images import Rescale, random_shift
from models.layers.labels import multi_hot, top_labels
from models.layers.numerics import at_least_float32
from models.registry import register
from models.variant import (
    Hyperparameters,
    Images,
    ImageShape,
    Optimization,
    Picture,
    Variant,
)

KERNEL = 9


class CapsuleConfig(Hyperparameters):
    """What both variants let one choose; defaults of the paper's section 4."""

    conv_channels: int = Field(256, ge=1, description="channels of the first convolution")
    primary_capsules: int = Field(32, ge=1, description="primary capsules at each position")
    primary_dim: int = Field(8, ge=1, description="dimensions of a primary capsule")
    digit_dim: int = Field(16, ge=1, description="dimensions of a class capsule")
    digit_bias: bool = Field(False, description="class capsules have learned biases")
    routing_iterations: int = Field(3, ge=1, le=20, description="iterations of routing")
    m_plus: float = Field(0.9, ge=0, le=1, description="length above which a true class is free")
    m_minus: float = Field(0.1, ge=0, le=1, description="length below which another class is free")
    absent_weight: float = Field(0.5, ge=0, description="λ, weight of the other classes' margins")
    reconstruction: bool = Field(True, description="a decoder regularises the class capsules")
    reconstruction_weight: float = Field(0.0005, ge=0, description="weight of its loss term")
    decoder_first: int = Field(512, ge=1, description="width of the decoder's first layer")
    decoder_second: int = Field(1024, ge=1, description="width of the decoder's second layer")
    lr: float = Field(1e-3, gt=0, description="learning rate of Adam")


class CapsNetConfig(CapsuleConfig):
    """Adds the recipe of the authors' code."""

    lr_decay: float = Field(0.96, gt=0, le=1, description="learning-rate factor per decay period")
    lr_decay_steps: int = Field(2000, ge=1, description="steps in a decay period")
    shift: int = Field(2, ge=0, le=8, description="largest random shift in training, in pixels")


class NotebookConfig(CapsuleConfig):
    """The same sizes, the notebook's own batch and learning rate."""

    batch_size: int = Field(16, ge=1, description="samples in a training step")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")


def margin_loss(
    lengths: Tensor,
    target: Tensor,
    *,
    m_plus: float = 0.9,
    m_minus: float = 0.1,
    absent_weight: float = 0.5,
    power: Literal[1, 2] = 2,
) -> Tensor:
    """Σ_k T_k max(0, m⁺−‖v_k‖)² + λ(1−T_k) max(0, ‖v_k‖−m⁻)² (equation 4), mean over the batch.

    lengths: (batch, classes); target: (batch, classes), multi-hot. `power=1` leaves the square out.
    """
    present = (m_plus - lengths).relu().pow(power)
    absent = (lengths - m_minus).relu().pow(power)
    return torch.where(target > 0, present, absent_weight * absent).sum(1).mean()


class PrimaryCapsules(nn.Module):
    """Convolution, ReLU, and the convolution whose channels at a position are its capsules.

    (batch, channels, height, width) to (batch, capsules, dims), position by position.
    """

    def __init__(self, *, channels: int, size: tuple[int, int], config: CapsuleConfig) -> None:
        super().__init__()
        self.dim = config.primary_dim
        outputs = config.primary_capsules * self.dim
        self.features = nn.Conv2d(channels, config.conv_channels, KERNEL)
        self.capsules = nn.Conv2d(config.conv_channels, outputs, KERNEL, stride=2)
        rows, columns = ((side - 2 * (KERNEL - 1) + 1) // 2 for side in size)
        self.count = rows * columns * config.primary_capsules

    def forward(self, x: Tensor) -> Tensor:
        maps = relu_then_stride_2(x, self.features, self.capsules)
        return squash(maps.permute(0, 2, 3, 1).reshape(len(x), self.count, self.dim))


class ClassCapsules(nn.Module):
    """Votes û_{j|i} = W_ij u_i and their routing: (batch, inputs, in) to (batch, classes, out)."""

    def __init__(
        self, *, inputs: int, in_dim: int, classes: int, config: CapsuleConfig, over: Axis
    ) -> None:
        super().__init__()
        self.iterations, self.over = config.routing_iterations, over
        self.weight = nn.Parameter(torch.empty(inputs, in_dim, classes, config.digit_dim))
        bias = torch.zeros(classes, config.digit_dim) if config.digit_bias else None
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, u: Tensor) -> Tensor:
        votes = torch.bmm(u.transpose(0, 1), self.weight.flatten(2))
        votes = votes.unflatten(2, self.weight.shape[2:]).permute(1, 2, 0, 3).contiguous()
        return route(votes, iterations=self.iterations, over=self.over, bias=self.bias)


class Decoder(nn.Module):
    """Class capsules, all but the chosen ones masked by zeros, to the image (figure 2)."""

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
        """capsules: (batch, classes, dims); chosen: (batch, classes), multi-hot."""
        logits = self.layers((capsules * chosen.unsqueeze(-1)).flatten(1))
        return at_least_float32(logits).sigmoid().unflatten(1, self.image)


class CapsuleNetwork(nn.Module):
    """What both variants are made of: image to class capsules, and back."""

    def __init__(self, *, shape: ImageShape, config: CapsuleConfig, over: Axis) -> None:
        super().__init__()
        channels, height, width, self.classes, self.labels = shape
        self.rescale = Rescale(height, width, low=28, high=56)
        size = self.rescale.size
        self.primary = PrimaryCapsules(channels=channels, size=size, config=config)
        self.digits = ClassCapsules(
            inputs=self.primary.count,
            in_dim=config.primary_dim,
            classes=self.classes,
            config=config,
            over=over,
        )
        self.decoder = (
            Decoder(classes=self.classes, channels=channels, size=size, config=config)
            if config.reconstruction
            else None
        )

    def forward(self, image: Tensor) -> Tensor:
        """Rescaled image to class capsules: (batch, classes, dims)."""
        return self.digits(self.primary(image))

    def predicted(self, lengths: Tensor) -> Tensor:
        """The longest capsules, as many as an image has labels, multi-hot: (batch, classes)."""
        return multi_hot(top_labels(lengths, self.labels), self.classes)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """The rescaled images and their reconstructions from the longest capsules, if decoded."""
        if self.decoder is None:
            return None
        image = self.rescale(x)
        capsules = self(image)
        return image, self.decoder(capsules, self.predicted(length(capsules)))


class CapsuleVariant(Variant):
    """A capsule network as a variant: its class is that of the longest capsule."""

    config: CapsuleConfig
    network: CapsuleNetwork

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width) to capsule lengths: (batch, classes) in [0, 1)."""
        return length(self.network(self.network.rescale(x)))

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Targets and reconstructions, (batch, channels, height, width); None without decoder."""
        return self.network.reconstruct(x)

    def pictures(self, batch: Images) -> dict[str, Picture]:
        """Images above their reconstructions."""
        shown = self.reconstruct(batch.x)
        return {} if shown is None else {"reconstructions": [list(part) for part in shown]}

    @property
    def loss_weights(self) -> dict[str, float]:
        return {"reconstruction": self.config.reconstruction_weight}


@register("capsnet", task="classification")
class CapsNet(CapsuleVariant):
    """CapsNet with dynamic routing (Sabour et al. 2017).

    Images are doubled (bilinear) or halved (area mean) until their sides are within 28 to 56
    pixels: 28 and 32 stay, 16 and 64 become 32. The reconstruction's target is that image. The
    decoder sees the capsules of the true labels in training and the longest ones otherwise; with
    two labels an image (MultiMNIST protocol) both are seen at once.

    Recipe as in the authors' code: images shifted by up to 2 pixels in training, W from a normal
    distribution of deviation 0.1 truncated at two deviations, no gradient stopped in the routing,
    learning rate decaying smoothly by 0.96 in 2000 steps. Default size at 1×28×28: 8,215,568
    parameters, 6,804,224 without decoder, 160 more with digit biases. On CIFAR-10 the paper has 64
    primary capsules and no reconstruction (section 7).
    """

    Config = CapsNetConfig
    config: CapsNetConfig
    presets: ClassVar = {"cifar10": {"primary_capsules": 64, "reconstruction": False}}

    def __init__(self, *, shape: ImageShape, config: CapsNetConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.network = CapsuleNetwork(shape=shape, config=config, over="outputs")
        nn.init.trunc_normal_(self.network.digits.weight, std=0.1, a=-0.2, b=0.2)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """`margin` (equation 4), and `reconstruction`: squared error summed over an image."""
        network, config = self.network, self.config
        image = network.rescale(batch.x)
        if self.training:
            image = random_shift(image, config.shift)
        capsules = network(image)
        lengths = length(capsules)
        target = multi_hot(batch.y, network.classes)
        terms = {
            "margin": margin_loss(
                lengths,
                target,
                m_plus=config.m_plus,
                m_minus=config.m_minus,
                absent_weight=config.absent_weight,
            )
        }
        if network.decoder is not None:
            chosen = target if self.training else network.predicted(lengths)
            error = network.decoder(capsules, chosen) - image
            terms["reconstruction"] = error.square().sum((1, 2, 3)).mean()
        return terms, lengths

    def optimization(self) -> Optimization:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr, fused=True)
        rate = self.config.lr_decay ** (1 / self.config.lr_decay_steps)
        return Optimization(optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, rate))


@register("capsnet-notebook", task="classification")
class NotebookCapsNet(CapsuleVariant):
    """CapsNet as a known notebook has it, departures from the paper included.

    Couplings sum to 1 over the input capsules, the margin loss is not squared, the reconstruction
    term is a mean over pixels, W is standard normal, the decoder always sees the predicted
    capsules, pixels are neither shifted nor scaled, and the learning rate is constant. Sizes of
    images, and of the network, as for `capsnet`.
    """

    Config = NotebookConfig
    config: NotebookConfig

    def __init__(self, *, shape: ImageShape, config: NotebookConfig) -> None:
        super().__init__(shape=shape, config=config)
        self.network = CapsuleNetwork(shape=shape, config=config, over="inputs")
        nn.init.normal_(self.network.digits.weight)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Tensor]:
        """`margin` (not squared), and `reconstruction`: squared error, mean over pixels."""
        network, config = self.network, self.config
        image = network.rescale(batch.x)
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
