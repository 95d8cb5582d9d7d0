"""Compares a variant with its textbook version, and checks what several tests of variants share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from models.layers.object_capsules import Objects
from models.variant import Images, ImageShape, Variant
from tests.narrowing import present

GREY = ImageShape(1, 28, 28, 10)


def images(shape: ImageShape = GREY, count: int = 4, dtype: torch.dtype = torch.float32) -> Images:
    """Draws random images and labels."""
    x = torch.rand(count, shape.channels, shape.height, shape.width, dtype=dtype)
    return Images(x, torch.randint(shape.classes, (count, shape.labels)))


def total_loss(model: Variant, batch: Any) -> Tensor:
    """Computes the weighted sum of the loss terms, which training minimises."""
    terms, _ = model.loss(batch)
    return model.total(terms)


def equal_losses(model: Variant, oracle: Any, batch: Any) -> tuple[Tensor, Tensor]:
    """Computes the losses of a variant and its textbook version, and checks that they are equal.

    Both draw the same random numbers.
    """
    torch.manual_seed(1)
    ours = total_loss(model, batch)
    torch.manual_seed(1)
    theirs = oracle.loss(batch)
    torch.testing.assert_close(ours, theirs)
    return ours, theirs


def gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Computes the gradients of a loss with respect to parameters."""
    return list(torch.autograd.grad(loss, parameters))


def highest_rates(variant: str) -> dict[str, float]:
    """Reads the largest learning rate and the largest rate factors of a variant's search space."""
    path = Path(__file__).parents[2] / "sweeps" / "spaces" / f"{variant}.yaml"
    search = yaml.safe_load(path.read_text(encoding="utf-8"))["search"]
    return {name: entry["high"] for name, entry in search.items() if name.endswith("lr")}


def stays_finite(model: Variant, batch: Callable[[int], Any], steps: int = 2000) -> None:
    """Checks that loss and parameters stay finite in training with clipped gradients."""
    recipe = model.optimization()
    assert recipe.clip_norm is not None
    for step in range(steps):
        recipe.optimizer.zero_grad()
        loss = total_loss(model, batch(step))
        loss.backward()
        recipe.clip(model)
        recipe.optimizer.step()
    assert loss.isfinite()
    assert all(p.isfinite().all() for p in model.parameters())


def evaluates(model: Variant, batch: Images, placed: Tensor, by_hand: Objects) -> None:
    """Checks that in evaluation `loss`, `forward` and `encode` return these objects.

    `placed` are the images on the canvas, which are the expected targets.
    """
    from_loss, shown, coded = model.loss(batch)[1], model(batch.x), model.encode(batch.x)
    for found in (from_loss, shown, coded):
        assert torch.equal(found.code, by_hand.posterior)
        assert torch.equal(present(found.prior), by_hand.prior)
    for found in (from_loss, shown):
        assert torch.equal(found.target, placed)
