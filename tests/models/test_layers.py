"""Tests image operations, labels, patches, and fast convolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.layers import convolutions
from models.layers.convolutions import (
    MinimalConvolution,
    relu_then_stride_2,
    stride_2,
)
from models.layers.images import (
    Rescale,
    fold,
    pad_same,
    random_contrast,
    random_shift,
    standardise,
    unfold,
)
from models.layers.labels import cross_entropy, multi_hot, top_labels
from models.textbook import convlstm


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((28, 28), (28, 28)),
        ((32, 32), (32, 32)),
        ((16, 16), (32, 32)),
        ((64, 64), (32, 32)),
        ((56, 40), (56, 40)),
        ((8, 12), (32, 48)),
        ((224, 224), (56, 56)),
    ],
)
def test_rescale_reaches_the_range(size: tuple[int, int], expected: tuple[int, int]) -> None:
    rescale = Rescale(*size, low=28, high=56)
    image = rescale(torch.rand(2, 3, *size))
    assert rescale.size == image.shape[2:] == expected
    assert image.min() >= 0
    assert image.max() <= 1


@pytest.mark.parametrize("size", [(16, 64), (57, 57), (20, 30), (28, 100)])
def test_rescale_names_what_it_cannot_take(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}×{size[1]}.*28 to 56"):
        Rescale(*size, low=28, high=56)


def test_halving_is_the_mean_of_areas() -> None:
    x = torch.rand(1, 1, 64, 64)
    expected = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    torch.testing.assert_close(Rescale(64, 64, low=28, high=56)(x), expected)


def test_shifts_are_whole_pixels_each_image_its_own() -> None:
    torch.manual_seed(0)
    x = torch.zeros(200, 1, 7, 9)
    x[:, :, 3, 4] = 1
    shifted = random_shift(x, 2)
    _, _, rows, columns = shifted.nonzero(as_tuple=True)
    assert len(rows) == 200
    assert set(rows.tolist()) == {1, 2, 3, 4, 5}
    assert set(columns.tolist()) == {2, 3, 4, 5, 6}
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 25


def test_what_is_shifted_out_is_lost_and_zeros_enter() -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 2, 4, 4)
    sums = random_shift(x, 2).sum((2, 3))
    assert (sums[:, 0] == sums[:, 1]).all()
    assert set(sums[:, 0].int().tolist()) <= {16, 12, 8, 9, 6, 4}
    assert torch.equal(random_shift(x, 0), x)


def test_labels_of_one_and_two() -> None:
    y = torch.tensor([[1, 3], [2, 2]])
    hot = multi_hot(y, 4)
    assert hot.tolist() == [[0, 1, 0, 1], [0, 0, 1, 0]]
    assert top_labels(hot + torch.tensor([0, 0.1, 0.3, 0.2]), 2).tolist() == [[3, 1], [2, 3]]
    scores = torch.randn(2, 4)
    expected = sum(nn.functional.cross_entropy(scores, y[:, k]) for k in (0, 1)) / 2
    torch.testing.assert_close(cross_entropy(scores, y), expected)


@pytest.mark.parametrize("by_minimal_filters", [True, False])
@pytest.mark.parametrize("size", [(28, 28), (29, 32), (17, 18)])
def test_polyphase_convolution_is_the_convolution(
    size: tuple[int, int], by_minimal_filters: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "uses_minimal_filters", lambda conv: by_minimal_filters)
    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 3, 9).double(), nn.Conv2d(3, 4, 9, stride=2).double()
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    parameters = [*first.parameters(), *second.parameters()]
    maps = first(x).relu()
    expected = second(maps)
    weight = torch.randn_like(expected)
    for ours in (relu_then_stride_2(x, first, second), stride_2(maps, second)):
        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(
            torch.autograd.grad((ours * weight).sum(), parameters, retain_graph=True),
            torch.autograd.grad((expected * weight).sum(), parameters, retain_graph=True),
        )


@pytest.mark.parametrize("padding", [0, 1])
def test_a_minimal_convolution_is_the_convolution(
    padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "MIN_CHANNELS", 2)
    layer = MinimalConvolution(2, 3, 3, padding=padding).double()
    x = torch.randn(2, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    ours, expected = layer(x), F.conv2d(x, layer.weight, layer.bias, padding=padding)
    torch.testing.assert_close(ours, expected)
    weight = torch.randn_like(expected)
    inputs = [x, *layer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((ours * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
    )


def test_under_autocast_a_minimal_convolution_takes_the_definition() -> None:
    layer, x = MinimalConvolution(64, 64, 3), torch.randn(2, 64, 9, 9)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias))


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_patches_fold_and_unfold(patch: int) -> None:
    frames = torch.rand(2, 3, 2, 8, 12)
    folded = fold(frames, patch)
    assert torch.equal(folded, convlstm.fold(frames, patch))
    assert torch.equal(unfold(folded, patch), frames)
    assert torch.equal(convlstm.unfold(folded, patch), frames)


def test_standardised_images_have_mean_0_and_lose_their_exposure() -> None:
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = standardise(x)
    for image, found in zip(x, seen, strict=True):
        expected = (image - image.mean()) / (image.var(correction=0).sqrt() + 0.02)
        torch.testing.assert_close(found, expected)
    assert standardise(torch.full((1, 1, 4, 4), 0.7)).abs().max() < 1e-5


def test_standardised_images_of_another_exposure_are_nearly_the_same() -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert (standardise(0.5 * x + 0.3) - standardise(x)).abs().max() < 0.2


def test_contrast_is_each_images_own_about_its_channels_means() -> None:
    torch.manual_seed(0)
    x = torch.rand(100, 3, 4, 4, dtype=torch.float64)
    changed = random_contrast(x, 0.8)
    torch.testing.assert_close(changed.mean((2, 3)), x.mean((2, 3)))
    factors = (changed.std((2, 3)) / x.std((2, 3))).T
    torch.testing.assert_close(factors[0], factors[2])
    assert 0.2 <= factors.min() < 0.3
    assert 1.7 < factors.max() <= 1.8
    assert random_contrast(x, 0.0) is x


@pytest.mark.parametrize("side", [24, 25])
def test_padding_keeps_sides_or_halves_them(side: int) -> None:
    """Checks TensorFlow's SAME; of an odd number of zeros, one more is added below and right."""
    x = torch.ones(1, 1, side, side)
    assert pad_same(x, kernel=9, stride=1).shape == (1, 1, side + 8, side + 8)
    padded = pad_same(x, kernel=9, stride=2)
    assert nn.functional.conv2d(padded, torch.ones(1, 1, 9, 9), stride=2).shape[2:] == (
        (side + 1) // 2,
        (side + 1) // 2,
    )
    assert (padded[0, 0, :, 10] == 0).nonzero().flatten()[:5].tolist() == (
        [0, 1, 2, 27, 28] if side == 24 else [0, 1, 2, 3, 29]
    )
