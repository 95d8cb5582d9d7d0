"""Tests that all predictors give untrained frames the brightness that is set."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models import registry
from models.layers.brightness import BrightnessConfig
from models.variant import ClipShape

SIZES: dict[str, dict[str, Any]] = {
    "convlstm": {"hidden_channels": 16, "patch_size": 8},
    "capsule-transformer": {"patch_size": 4, "num_capsules": 2, "hidden_dim": 16},
    "tlb-frames": {"patch_size": 16, "dim": 32, "state_length": 16},
}


def test_every_variant_with_an_initial_brightness_is_tested() -> None:
    configured = {
        name
        for name in registry.available()
        if issubclass(registry.variant(name).Config, BrightnessConfig)
    }
    assert configured == set(SIZES)


@pytest.mark.parametrize("brightness", [0.5, 0.05])
@pytest.mark.parametrize("name", SIZES)
def test_untrained_frames_are_as_bright_as_asked_for(name: str, brightness: float) -> None:
    """Guards against grey first frames, which training takes a hundred steps to darken."""
    torch.manual_seed(0)
    config = registry.variant(name).Config(**SIZES[name] | {"initial_brightness": brightness})
    shape = ClipShape(1, 64, 64, past=3, future=2)
    model = registry.build(name, shape=shape, config=config).eval()
    past = (torch.rand(4, 3, 1, 64, 64) > 0.95).float()
    with torch.no_grad():
        first = model(past)[:, 0]
    assert first.mean().item() == pytest.approx(brightness, rel=0.1)


@pytest.mark.parametrize("name", SIZES)
def test_frames_start_grey_by_default(name: str) -> None:
    """Checks that the default is that of `convlstm` and `capsule-transformer` in public code."""
    assert registry.variant(name).Config().model_dump()["initial_brightness"] == 0.5
