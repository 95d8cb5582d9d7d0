"""Tests that stacked capsules have the initial weights of the library of their authors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import registry
from models.layers.capsule_votes import CapsuleLayer, LinearPerCapsule
from models.layers.initialisation import initialise_as_sonnet, sonnet_normal_
from models.layers.set_transformer import SetTransformer
from models.variant import ImageShape
from tests.contracts.test_variants import build
from tests.narrowing import present

CUT_NORMAL = 0.8796
"""Deviation of a standard normal distribution that is truncated at two deviations."""


def assert_sonnet(weight: Tensor, inputs: int) -> None:
    scaled = weight.detach() * inputs**0.5
    assert scaled.abs().max() <= 2
    error = 4 * CUT_NORMAL / (2 * scaled.numel()) ** 0.5
    assert abs(float(scaled.std(correction=0)) - CUT_NORMAL) < max(error, 0.02)


def test_weights_are_a_cut_normal_of_one_over_the_root_of_their_inputs() -> None:
    torch.manual_seed(0)
    assert_sonnet(sonnet_normal_(torch.empty(400, 100), inputs=100), 100)
    conv, linear = nn.Conv2d(8, 64, 3), nn.Linear(64, 200, bias=False)
    initialise_as_sonnet(nn.Sequential(conv, nn.Flatten(), linear))
    assert_sonnet(conv.weight, 8 * 9)
    assert_sonnet(linear.weight, 64)
    assert not present(conv.bias).any()


def test_every_layer_of_stacked_capsules_begins_so() -> None:
    torch.manual_seed(0)
    transformer = SetTransformer(layers=2, heads=1, dims=64, seeds=8, out=64)
    for layer in transformer.modules():
        if isinstance(layer, nn.Linear):
            assert_sonnet(layer.weight, layer.in_features)
    capsules = CapsuleLayer(capsules=8, votes=6, inputs=64, dims=32, hidden=48, noise=0)
    first, last = (layer for layer in capsules.describe if isinstance(layer, LinearPerCapsule))
    assert_sonnet(first.weight, 64)
    assert_sonnet(last.weight, 48)
    assert_sonnet(capsules.dynamic, 48)
    assert_sonnet(capsules.rest.weight, 48)


@pytest.mark.parametrize("name", ["pcae", "scae"])
def test_poses_of_different_images_begin_apart(name: str) -> None:
    """Guards against torch's default weights, with which poses differ by some thousandths only."""
    model: Any = build(name, ImageShape(1, 28, 28, 10)).eval()
    x = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    x[::2, :, :14] = 0
    x[1::2, :, 14:] = 0
    with torch.no_grad():
        pose = model.network.encode(model.network.views(x).image).pose
    assert pose.std(0).mean() > 0.02


def test_the_embedding_counts_all_inputs_of_a_part() -> None:
    model: Any = build("scae", ImageShape(1, 28, 28, 10))
    objects = model.objects
    inputs = objects.embed.in_features + objects.embed_template.in_features
    for share in (objects.embed, objects.embed_template):
        assert (share.weight.abs() <= 2 * inputs**-0.5).all()
    assert registry.variant("scae").Config().model_dump()["part_features"] + 7 == 23
