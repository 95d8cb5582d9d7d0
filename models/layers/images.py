"""Operates on whole batches of images.

The functions resize, crop, shift, pad and standardise images, find edges, and fold patches into
channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from models.variant import Hyperparameters

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey pixel (ITU-R BT.601)."""
STANDARDISED_FLOOR = 0.02
"""Added to an image's deviation, so that the noise of a blank image is not amplified."""
SOBEL_FLOOR = 1e-8
"""Added to the range of a channel's edges, as in the authors' code, since that range may be 0."""


def channels_last(x: Tensor) -> Tensor:
    """Lays out images with their channels innermost in memory.

    The strides of the result say so even for a single channel. `Tensor.contiguous` leaves the
    strides of a single channel unchanged, and convolutions then return the other layout.

    Args:
        x: (batch, channels, height, width).

    Returns:
        The same shape and numbers.
    """
    batch, channels, height, width = x.shape
    inner = x.permute(0, 2, 3, 1).flatten().view(batch, height, width, channels)
    return inner.permute(0, 3, 1, 2)


class Rescale(nn.Module):
    """Doubles (bilinear) or halves (area mean) images until both sides are within [low, high]."""

    def __init__(self, height: int, width: int, *, low: int, high: int) -> None:
        """Chooses how often to double or halve.

        Args:
            height: height of the images in pixels.
            width: width of the images in pixels.
            low: smallest side of a rescaled image.
            high: largest side of a rescaled image.

        Raises:
            ValueError: if no doubling or halving brings both sides into the range.
        """
        super().__init__()
        up = down = 1
        while min(height, width) * up < low:
            up *= 2
        if up == 1:
            while max(height, width) > high * down:
                down *= 2
        self.up, self.down = up, down
        self.size = (height * up // down, width * up // down)
        divisible = height % down == 0 and width % down == 0
        if not divisible or min(self.size) < low or max(self.size) > high:
            raise ValueError(
                f"images of {height}×{width} cannot be doubled or halved to sides "
                f"from {low} to {high} pixels"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Rescales images.

        Args:
            x: (batch, channels, height, width).

        Returns:
            (batch, channels, *size).
        """
        if self.up > 1:
            return F.interpolate(x, scale_factor=self.up, mode="bilinear", align_corners=False)
        return F.avg_pool2d(x, self.down) if self.down > 1 else x


def resize(x: Tensor, side: int) -> Tensor:
    """Resizes images to squares by bilinear sampling.

    Args:
        x: (batch, channels, height, width).
        side: side of the squares in pixels.

    Returns:
        (batch, channels, side, side); x itself if it has this size.
    """
    if x.shape[2:] == (side, side):
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def grey(x: Tensor) -> Tensor:
    """Converts colours to grey by their luma.

    Args:
        x: (batch, 1 or 3, height, width).

    Returns:
        (batch, 1, height, width).
    """
    if x.shape[1] == 1:
        return x
    return torch.einsum("bchw,c->bhw", x, x.new_tensor(LUMA)).unsqueeze(1)


def standardise(x: Tensor) -> Tensor:
    """Subtracts each image's mean and divides by its standard deviation, over pixels and channels.

    0.02 is added to the deviation. A network then reads photographs of any exposure with the same
    mean and with nearly the same deviation.

    Args:
        x: (batch, channels, height, width) in [0, 1].

    Returns:
        The same shape; each image has mean 0 and a deviation below 1.
    """
    deviation, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
    return (x - mean) / (deviation + STANDARDISED_FLOOR)


class StandardisedConfig(Hyperparameters):
    """Adds the choice whether a network reads standardised images."""

    standardise: bool = Field(
        False,
        description="whether to standardise each image, to mean 0 and deviation of about 1",
    )

    def prepare(self, x: Tensor) -> Tensor:
        """Returns images as the network reads them.

        Args:
            x: (batch, channels, height, width) in [0, 1].

        Returns:
            The images, standardised if `standardise` is true.
        """
        return standardise(x) if self.standardise else x


STANDARDISED: Mapping[str, Mapping[str, Any]] = {
    dataset: {"standardise": True} for dataset in ("svhn", "cifar10")
}
"""Presets for variants that read photographs standardised; digits on black stay as they are."""


def random_contrast(x: Tensor, strength: float) -> Tensor:
    """Multiplies each image's differences from its mean by one random factor per image.

    The mean is that of each channel over the image's pixels. Values are not clamped.

    Args:
        x: (batch, channels, height, width).
        strength: largest distance of a factor from 1. Factors are drawn uniformly from torch's
            global generator; if strength is 0, none are drawn.

    Returns:
        The same shape.
    """
    if strength == 0:
        return x
    factor = 1 + strength * (2 * torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) - 1)
    mean = x.mean((2, 3), keepdim=True)
    return mean + factor * (x - mean)


def random_shift(x: Tensor, pixels: int) -> Tensor:
    """Shifts each image by a random whole number of pixels; zeros enter at the borders.

    Args:
        x: (batch, channels, height, width).
        pixels: largest shift, in each of the four directions. Shifts are drawn from torch's global
            generator; if `pixels` is 0, none are drawn.

    Returns:
        The same shape.
    """
    if pixels == 0:
        return x
    batch, _, height, width = x.shape
    down, right = torch.randint(2 * pixels + 1, (2, batch, 1), device=x.device)
    rows = torch.arange(height, device=x.device) + down
    columns = torch.arange(width, device=x.device) + right
    sample = torch.arange(batch, device=x.device)[:, None, None]
    padded = F.pad(x, [pixels] * 4).permute(0, 2, 3, 1)
    return padded[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_crop(x: Tensor, size: tuple[int, int], *, flip: bool) -> Tensor:
    """Cuts a rectangle out of each image at a random place; with `flip` mirrors half of them.

    Args:
        x: (batch, channels, height, width).
        size: rows and columns of the rectangle, at most those of the image.
        flip: whether each rectangle is mirrored, left to right, with probability ½.

    Returns:
        (batch, channels, *size). Places and mirroring are drawn from torch's global generator.
    """
    batch, _, height, width = x.shape
    rows, columns = size
    top = torch.randint(height - rows + 1, (batch, 1), device=x.device)
    left = torch.randint(width - columns + 1, (batch, 1), device=x.device)
    down, right = torch.arange(rows, device=x.device), torch.arange(columns, device=x.device)
    across = left + right
    if flip:
        mirrored = torch.randint(2, (batch, 1), device=x.device).bool()
        across = torch.where(mirrored, left + right.flip(0), across)
    sample = torch.arange(batch, device=x.device)[:, None, None]
    channels_innermost = x.permute(0, 2, 3, 1)
    crops = channels_innermost[sample, (top + down)[:, :, None], across[:, None, :]]
    return crops.permute(0, 3, 1, 2)


def centre_crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cuts a rectangle out of the middle of each image.

    Args:
        x: (batch, channels, height, width).
        size: rows and columns of the rectangle, at most those of the image.

    Returns:
        (batch, channels, *size). If a margin is odd, one more pixel is cut off below or on the
        right.
    """
    top, left = ((whole - part) // 2 for whole, part in zip(x.shape[2:], size, strict=True))
    return x[:, :, top : top + size[0], left : left + size[1]]


def place(x: Tensor, size: tuple[int, int], *, shifted: bool = False) -> Tensor:
    """Pads images with zeros to a size, with each image at the centre or near it at random.

    Args:
        x: (batch, channels, height, width).
        size: height and width of the padded images, at least those of the image.
        shifted: whether each image is shifted from the centre at random, by at most the smaller
            margin. Shifts are drawn from torch's global generator.

    Returns:
        (batch, channels, *size).
    """
    rows, columns = size[0] - x.shape[2], size[1] - x.shape[3]
    top, left = rows // 2, columns // 2
    centred = F.pad(x, (left, columns - left, top, rows - top))
    return random_shift(centred, min(top, left)) if shifted else centred


def pad_same(x: Tensor, *, kernel: int, stride: int) -> Tensor:
    """Pads images with zeros, as TensorFlow's padding `SAME` does before a convolution.

    A convolution without padding then returns images with sides of ⌈side / stride⌉ pixels.

    Args:
        x: (batch, channels, height, width).
        kernel: side of the convolution's kernel, at least `stride`.
        stride: stride of the convolution.

    Returns:
        The padded images. If the number of added rows or columns is odd, one more is added below or
        on the right.
    """
    pads: list[int] = []
    for side in (x.shape[3], x.shape[2]):
        added = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        pads += [added // 2, added - added // 2]
    return F.pad(x, pads)


def sobel(x: Tensor) -> Tensor:
    """Finds the edges of images as the authors' code of stacked capsules does.

    Images are padded by reflection, and the two Sobel derivatives of each channel are added. The
    median is subtracted from this sum; the absolute value is then scaled to [0, 1]. Median, minimum
    and maximum are computed for each channel of each image. The sum is not the length of the
    gradient: an edge at which the two derivatives cancel is lost.

    Args:
        x: (batch, channels, height, width), with sides of at least 2.

    Returns:
        The same shape, in [0, 1]; zeros where a channel has no edges.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    smooth = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    steep = padded[:, :, 2:] - padded[:, :, :-2]
    across = smooth[..., 2:] - smooth[..., :-2]
    down = steep[..., :-2] + 2 * steep[..., 1:-1] + steep[..., 2:]
    both = (across + down).flatten(2)
    edges = (both - _median(both)).abs()
    low, high = edges.aminmax(dim=2, keepdim=True)
    return ((edges - low) / (high - low + SOBEL_FLOOR)).view_as(x)


def _median(x: Tensor) -> Tensor:
    """Finds the medians of the last axis, which is kept with length 1.

    If the count is even, the median is the lower of the two middle numbers, as in the authors'
    nearest percentile. In deterministic mode, `Tensor.median` (torch 2.13) raises an error on all
    devices but the CPU, the meta device among them, on which costs are counted; on a GPU, it
    returns the index of any of several equal numbers. Sorting is used there instead.
    """
    if not x.is_cpu:
        return x.sort(-1).values[..., (x.shape[-1] - 1) // 2, None]
    return x.median(-1, keepdim=True).values


def check_patches(kind: str, size: tuple[int, int], patch: int) -> None:
    """Checks that images can be cut into square patches.

    Args:
        kind: name of the images in the message, in the plural.
        size: height and width of an image in pixels.
        patch: side of a patch in pixels.

    Raises:
        ValueError: if `patch` does not divide both sides.
    """
    height, width = size
    if height % patch or width % patch:
        raise ValueError(
            f"{kind} of {height}×{width} pixels cannot be cut into patches of {patch}×{patch}: "
            "take a patch_size that divides both sides"
        )


def fold(frames: Tensor, patch: int) -> Tensor:
    """Folds square patches of pixels into channels.

    Args:
        frames: (..., channels, height, width).
        patch: side of a patch in pixels; divides both sides.

    Returns:
        (..., channels·patch², height/patch, width/patch).
    """
    return rearrange(frames, "... c (h p) (w q) -> ... (c p q) h w", p=patch, q=patch)


def unfold(folded: Tensor, patch: int) -> Tensor:
    """Unfolds channels into square patches of pixels: the inverse of `fold`.

    Args:
        folded: (..., channels·patch², height/patch, width/patch).
        patch: side of a patch in pixels.

    Returns:
        (..., channels, height, width).
    """
    return rearrange(folded, "... (c p q) h w -> ... c (h p) (w q)", p=patch, q=patch)
