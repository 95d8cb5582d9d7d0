"""Tests the Vision Transformer against the textbook, and its size."""

from __future__ import annotations

import pytest
import torch

from models.textbook import vit
from models.tlb import TLB, TLBConfig
from models.variant import Images, ImageShape
from models.vit import ViT, ViTConfig
from tests.models.comparison import gradients, total_loss


@pytest.mark.parametrize(("heads", "standardise"), [(1, False), (2, False), (2, True)])
def test_loss_and_gradients_equal_the_textbook(heads: int, standardise: bool) -> None:
    torch.manual_seed(0)
    sizes = {"image_size": 12, "resize": 14, "dim": 8, "layers": 2, "heads": heads}
    config = ViTConfig(**sizes, standardise=standardise)
    model = ViT(shape=ImageShape(2, 9, 16, 5, labels=2), config=config).double()
    oracle = vit.textbook(model)
    x = torch.rand(3, 2, 9, 16, dtype=torch.float64)
    batch = Images(x, torch.tensor([[0, 1], [4, 2], [3, 0]]))
    both = []
    for loss in (lambda: total_loss(model, batch), lambda: oracle.loss(batch)):
        torch.manual_seed(1)
        both.append(loss())
    torch.testing.assert_close(*both)
    torch.testing.assert_close(
        gradients(both[0], list(model.parameters())),
        gradients(both[1], list(oracle.ours.parameters())),
    )


def test_it_is_as_large_as_tlb() -> None:
    shape = ImageShape(3, 32, 32, 10)
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in model.parameters())
            for model in (
                ViT(shape=shape, config=ViTConfig()),
                TLB(shape=shape, config=TLBConfig()),
            )
        ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.03)


def test_heads_must_share_the_dimensions() -> None:
    with pytest.raises(ValueError, match=r"3 heads.*64"):
        ViT(shape=ImageShape(1, 28, 28, 10), config=ViTConfig(heads=3))
