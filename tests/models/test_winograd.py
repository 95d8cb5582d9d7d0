"""3×3 convolutions by fewer multiplications: against their definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers import winograd


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def both(
    sides: tuple[int, int], padding: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[winograd.Convolution, Tensor, Tensor, Tensor]:
    """A convolution, images, and what the convolution and its definition make of the images."""
    layer = winograd.Convolution(2, 3, padding=padding).to(dtype)
    x = torch.randn(2, 2, *sides, dtype=dtype, requires_grad=True)
    return layer, x, layer(x), F.conv2d(x, layer.weight, layer.bias, padding=padding)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("sides", [(3, 4), (5, 6), (7, 9), (12, 3)])
def test_it_is_the_convolution_and_so_are_its_gradients(
    sides: tuple[int, int], padding: int
) -> None:
    layer, x, ours, expected = both(sides, padding)
    torch.testing.assert_close(ours, expected)
    weight = torch.randn_like(expected)
    inputs = [x, *layer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((ours * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
    )


def test_float32_is_off_by_a_ten_thousandth_at_most() -> None:
    layer = winograd.Convolution(64, 64)
    x = torch.randn(2, 64, 9, 9)
    with torch.no_grad():
        ours, expected = layer(x), F.conv2d(x.double(), layer.weight.double(), layer.bias.double())
    assert (ours - expected).abs().max() < 1e-4 * expected.std()


@pytest.mark.parametrize(("outputs", "products"), [(1, 3), (2, 4), (4, 6), (5, 9), (7, 11)])
def test_a_row_takes_two_products_more_than_outputs_for_each_tile(
    outputs: int, products: int
) -> None:
    """The definition takes three for each output."""
    assert [len(winograd._numbers(outputs)[i]) for i in (1, 2)] == [products, products]


def test_autocast_takes_the_definition() -> None:
    layer = winograd.Convolution(8, 8)
    x = torch.randn(2, 8, 9, 9)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias))


def test_matrices_made_in_inference_serve_training() -> None:
    """Known mistake: tensors that inference made are kept, and autograd refuses them later."""
    winograd._numbers.cache_clear()
    layer, x = winograd.Convolution(2, 2), torch.randn(1, 2, 6, 6)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
