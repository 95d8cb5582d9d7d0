"""Tests that every trained variant learns: after 200 steps it beats its untrained self on new
samples.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models import registry
from models.variant import Clips, ClipShape, Coded, Images, Variant
from tests.contracts.test_variants import SHAPES, build
from tests.models.comparison import total_loss
from tests.narrowing import present

STEPS = 200
CLASSES = 4
"""Classes of the learnable set: the corner in which an image is bright."""


def corners(shape: Any, seed: int, count: int = 32) -> Images | Clips:
    """Makes dim noise with a bright square in the corner of the image's class.

    In clips the square moves to the right. Places and brightness vary, so that training images
    differ from test images.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(CLASSES, (count,), generator=generator)
    frames = shape.past + shape.future if isinstance(shape, ClipShape) else 1
    size = (shape.channels, shape.height, shape.width)
    x = 0.1 * torch.rand(count, frames, *size, generator=generator)
    side = shape.height // 4
    for image, label in zip(x, y.tolist(), strict=True):
        down, right = torch.randint(side // 2, (2,), generator=generator).tolist()
        top, left = down + (label // 2) * 2 * side, right + (label % 2) * 2 * side
        bright = 0.7 + 0.3 * torch.rand((), generator=generator)
        for frame in range(frames):
            image[frame, :, top : top + side, left + frame : left + frame + side] = bright
    if isinstance(shape, ClipShape):
        return Clips(x[:, : shape.past], x[:, shape.past :])
    return Images(x[:, 0], y[:, None])


def error(model: Variant, batch: Images | Clips) -> float:
    """Measures the error on new samples: the share of wrong classes, or the mean squared error of
    pixels.

    Variants without a reconstruction of their own are measured by their loss.
    """
    with torch.no_grad():
        output = model.eval()(batch[0])
        if isinstance(output, Coded):
            if output.reconstruction is None or model.base_variant is not None:
                value = total_loss(model, batch)
            else:
                value = (output.reconstruction - present(output.target)).square().mean()
        elif isinstance(batch, Clips):
            value = (output - batch.future).square().mean()
        else:
            value = (output.argmax(1) != batch.y[:, 0]).float().mean()
    model.train()
    return float(value)


def learns(name: str, rate: float) -> bool:
    """Returns whether 200 steps at a learning rate reduce the error on new samples by at least a
    quarter.

    The rate is not the recipe's, because published rates are for trainings of many thousand steps.
    """
    shape = next(iter(SHAPES[registry.available()[name].task].values()))
    model, unseen = build(name, shape), corners(shape, seed=1)
    untrained = error(model, unseen)
    recipe = model.optimization()
    for group in recipe.optimizer.param_groups:
        group["lr"] = rate
    for step in range(STEPS):
        recipe.optimizer.zero_grad()
        torch.manual_seed(step)
        total_loss(model, corners(shape, seed=2 + step, count=8)).backward()
        recipe.clip(model)
        recipe.optimizer.step()
    return error(model, unseen) < untrained - 0.25 * abs(untrained)


@pytest.mark.parametrize("name", registry.available())
def test_every_trained_variant_beats_its_untrained_self(name: str) -> None:
    shape = next(iter(SHAPES[registry.available()[name].task].values()))
    if not build(name, shape).trainable:
        pytest.skip("it is not trained by gradients")
    assert learns(name, 1e-3) or learns(name, 3e-3)
